/** The files of a page, which are few: read once, and known by their content. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, extname, join } from "node:path";
import type { Hono } from "hono";
import { ForgeError } from "../../engine/error.ts";

/** A file as it is served. */
interface PageFile {
  readonly body: Uint8Array<ArrayBuffer>;
  readonly type: string;
  /** Its ETag. */
  readonly tag: string;
}

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
};

/** Where the build puts a page: below `dist/` of the package that this file is in. */
export function builtPage(target: string): string {
  const manifest = createRequire(import.meta.url).resolve("forge-gpu/package.json");
  return join(dirname(manifest), "dist", target);
}

/**
 * Serves the files of a folder.
 *
 * @throws ForgeError `file_invalid` where no page was built
 */
export function addPage(app: Hono, folder: string): void {
  for (const [path, { body, type, tag }] of readPage(folder)) {
    app.get(path, (context) => {
      const headers = { "Content-Type": type, ETag: tag, "Cache-Control": "no-cache" };
      if (context.req.header("if-none-match") === tag) return context.body(null, 304, headers);
      return context.body(body, 200, headers);
    });
  }
}

/** The files of a folder by their paths in a URL; `index.html` is `/` too. */
function readPage(folder: string): ReadonlyMap<string, PageFile> {
  const files = new Map<string, PageFile>();
  for (const name of namesIn(folder)) {
    const type = TYPES[extname(name)];
    if (type === undefined) continue;
    const body = new Uint8Array(readFileSync(join(folder, name)));
    const tag = `"${createHash("sha256").update(body).digest("base64url").slice(0, 22)}"`;
    files.set(`/${name}`, { body, type, tag });
  }
  const index = files.get("/index.html");
  if (!index) {
    throw new ForgeError({
      code: "file_invalid",
      what: "the page is not built",
      got: `no index.html in ${folder}`,
      fix: "npm run build",
    });
  }
  return files.set("/", index);
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
