/**
 * The npm package @sparticuz/chromium, which holds a whole Chromium and SwiftShader with its own Vulkan loader: the way to
 * both for somebody who may not install system packages. It is brought on demand into the user's cache, and is no
 * dependency.
 */
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { cacheFolder } from "./paths.mjs";
import { npm, SetUpError, tail } from "./run.mjs";
import { tarFiles } from "./tar.mjs";

/** The newest version for Node 20, and the digest that its package must have. */
const VERSION = "147.0.0";
const INTEGRITY =
  "4ZKeAQQa8up2mt675qSitztLdbQrlf8BKdC5naeap+5Mv1OV1OlJdPoU+EJC/p5sQUJUQmN4r+q5+EhaaOUHpQ==";

/** Where the unpacked files are. */
const folder = () => join(cacheFolder(), `sparticuz-chromium-${VERSION}`);

/** Whether the package's programs run here: it holds x64 Linux ones only. */
export const sparticuzRunsHere = process.platform === "linux" && process.arch === "x64";

/**
 * The SwiftShader of the package, when it is unpacked.
 *
 * @returns {{ icd: string, loader: string, source: string } | null}
 */
export function unpackedSwiftShader() {
  const icd = join(folder(), "vk_swiftshader_icd.json");
  const loader = join(folder(), "libvulkan.so.1");
  if (!existsSync(icd)) return null;
  return { icd, loader, source: `SwiftShader of @sparticuz/chromium ${VERSION}` };
}

/**
 * The Chromium of the package, when it is unpacked, and libraries for a machine that lacks them.
 *
 * @returns {{ path: string, libraries: string, source: string } | null}
 */
export function unpackedChromium() {
  const path = join(folder(), "chromium");
  if (!existsSync(path)) return null;
  return { path, libraries: join(folder(), "lib"), source: `@sparticuz/chromium ${VERSION}` };
}

/**
 * Downloads the package if need be, and unpacks SwiftShader and, if wanted, Chromium.
 *
 * @param {"swiftshader" | "chromium"} what Chromium needs SwiftShader beside it
 * @param {(line: string) => void} say
 */
export function bringSparticuz(what, say) {
  const archive = download(say);
  const packed = new Map(
    [...tarFiles(gunzipSync(readFileSync(archive)))].map(({ name, data }) => [
      basename(name),
      data,
    ]),
  );
  /** @param {string} name */
  const inflate = (name) => {
    const data = packed.get(name);
    if (!data) throw new Error(`set-up: ${archive} holds no ${name}`);
    return brotliDecompressSync(data);
  };

  mkdirSync(join(folder(), "lib"), { recursive: true });
  for (const { name, mode, data } of tarFiles(inflate("swiftshader.tar.br"))) {
    place(join(folder(), basename(name)), data, mode);
  }
  if (what === "swiftshader") return;
  say("unpacking Chromium");
  for (const { name, mode, data } of tarFiles(inflate("al2023.tar.br"))) {
    place(join(folder(), "lib", basename(name)), data, mode);
  }
  place(join(folder(), "chromium"), inflate("chromium.br"), 0o755);
  rmSync(archive); // nothing more is wanted of it
}

/**
 * @param {(line: string) => void} say
 * @returns {string} the package's archive, which is what it should be
 */
function download(say) {
  const archive = join(cacheFolder(), `sparticuz-chromium-${VERSION}.tgz`);
  if (existsSync(archive) && digest(archive) === INTEGRITY) return archive;
  say(`downloading @sparticuz/chromium ${VERSION} (65 MiB) into ${cacheFolder()}`);
  mkdirSync(cacheFolder(), { recursive: true });
  const done = npm(["pack", `@sparticuz/chromium@${VERSION}`, "--loglevel=error"], {
    cwd: cacheFolder(),
  });
  if (!done.ok) {
    throw new SetUpError(
      `@sparticuz/chromium ${VERSION} cannot be downloaded:\n${tail(done.output)}`,
      "go online, or set npm's registry to one that can be reached",
    );
  }
  if (digest(archive) !== INTEGRITY) {
    rmSync(archive, { force: true });
    throw new SetUpError(
      `@sparticuz/chromium ${VERSION} is not the published package: its SHA-512 differs`,
      "check npm's registry setting",
    );
  }
  return archive;
}

/** @param {string} file */
function digest(file) {
  return createHash("sha512").update(readFileSync(file)).digest("base64");
}

/**
 * Writes a file under another name first, so that a torn one never looks whole. One that is there already stays as it is:
 * the records hold its time of change.
 *
 * @param {string} file
 * @param {Buffer} data
 * @param {number} mode
 */
function place(file, data, mode) {
  if (statSync(file, { throwIfNoEntry: false })?.size === data.length) return;
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, data, { mode });
  renameSync(draft, file);
}
