/** The pages of the commands, in a real Chromium. */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { type Browser, chromium, type Page } from "playwright";
import { chromiumForTests } from "../../src/setup/chromium.mjs";

const repository = resolve(import.meta.dirname, "../..");

/** A page bundled from the sources as they are. */
export interface BuiltPage extends Disposable {
  readonly folder: string;
}

/**
 * Bundles a page as the build does.
 *
 * @param source its folder in the source tree
 * @param target its folder in `dist/`
 */
export async function builtPage(source: string, target: string = source): Promise<BuiltPage> {
  const dist = mkdtempSync(join(tmpdir(), "forge-gpu-page-"));
  await promisify(execFile)(process.execPath, ["src/setup/pages.mjs", dist, source], {
    cwd: repository,
  });
  return {
    folder: join(dist, target),
    [Symbol.dispose]: () => rmSync(dist, { recursive: true, force: true }),
  };
}

/** The Chromium of the browser tests, without a window. */
export function openBrowser(args: readonly string[] = []): Promise<Browser> {
  const found = chromiumForTests();
  return chromium.launch({
    ...(found && { executablePath: found.path, env: found.env as Record<string, string> }),
    args: ["--no-sandbox", ...args],
  });
}

/** What a page complains of or asks others for, as it happens: the console's errors, exceptions, dialogs, other hosts. */
export function complaintsOf(page: Page, own: string): string[] {
  const complaints: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("dialog", (dialog) => {
    complaints.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(own)) complaints.push(`request: ${request.url()}`);
  });
  return complaints;
}
