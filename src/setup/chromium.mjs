/** A Chromium for the browser tests: the machine's own, Debian's package, or the one in an npm package. */
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { aptInstall, aptUpdate, elevation, hasApt, osRelease } from "./apt.mjs";
import { fingerprint, readRecord, writeRecord } from "./records.mjs";
import { run, SetUpError } from "./run.mjs";
import { bringSparticuz, sparticuzRunsHere, unpackedChromium } from "./sparticuz.mjs";

/** @typedef {import("./setup.mjs").ChromiumRecord} ChromiumRecord */
/** @typedef {import("./setup.mjs").SetUpOptions} SetUpOptions */
/** @typedef {{ path: string, libraries: string | null, source: string }} Browser */

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const ELSEWHERE = [
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe",
  "C:\\Program Files (x86)\\Google\\Chrome\\Application\\chrome.exe",
];

/**
 * The recorded Chromium, if it is still the same file.
 *
 * @returns {ChromiumRecord | null}
 */
export function knownChromium() {
  /** @type {ChromiumRecord | null} */
  const record = readRecord("chromium");
  return record?.path && record.key === fingerprint([record.path]) ? record : null;
}

/**
 * What a test runner needs to start the recorded Chromium.
 *
 * @returns {{ path: string, env: NodeJS.ProcessEnv } | null}
 */
export function chromiumForTests() {
  const record = knownChromium();
  return record && { path: record.path, env: environment(record.libraries) };
}

/**
 * Finds a Chromium, or brings one, and records it.
 *
 * @param {Required<Pick<SetUpOptions, "say" | "user">>} options
 * @returns {ChromiumRecord}
 * @throws {SetUpError} when there is none and none can be brought
 */
export function prepareChromium({ say, user }) {
  const present = firstUsable(installed());
  if (present) return present;

  // Ubuntu's package of this name is a pointer to a snap, which does not run in containers.
  const isDebian = hasApt() && osRelease()["ID"] === "debian";
  const as = user || !isDebian ? null : elevation();
  if (as) {
    try {
      say("installing chromium (apt)");
      aptUpdate(as);
      aptInstall(as, ["chromium"]);
      const brought = firstUsable(installed("apt"));
      if (brought) return brought;
    } catch (error) {
      if (!(error instanceof SetUpError)) throw error;
      say(`${error.message.split("\n").at(-1)}; going on to the npm package`);
    }
  }

  const fix = isDebian ? "sudo apt-get install chromium" : "install Chromium or Google Chrome";
  if (sparticuzRunsHere) {
    try {
      if (!unpackedChromium()) bringSparticuz("chromium", say);
    } catch (error) {
      if (!(error instanceof SetUpError)) throw error;
      throw new SetUpError(`no Chromium was found; ${error.message}`, fix);
    }
    const unpacked = unpackedChromium();
    const brought = unpacked && firstUsable([{ ...unpacked, libraries: null }, unpacked]);
    if (brought) return brought;
  }
  throw new SetUpError("no Chromium was found, and none could be brought", fix);
}

/**
 * @param {string} [source]
 * @returns {Browser[]}
 */
function installed(source = "the machine's own") {
  const folders = (process.env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  const inPath = NAMES.flatMap((name) => folders.map((folder) => join(folder, name)));
  return [...inPath, ...ELSEWHERE]
    .filter((path) => existsSync(path))
    .map((path) => ({ path, libraries: null, source }));
}

/**
 * Starts browsers in turn until one says its version, and records it.
 *
 * @param {readonly Browser[]} browsers
 * @returns {ChromiumRecord | null}
 */
function firstUsable(browsers) {
  for (const { path, libraries, source } of browsers) {
    // chrome.exe opens a window instead of answering.
    const asked =
      process.platform === "win32"
        ? { ok: true, stdout: "Chrome" }
        : run(path, ["--version"], { env: environment(libraries), timeoutMs: 60_000 });
    if (!asked.ok) continue;
    const version = asked.stdout.trim();
    const record = { path, libraries, source, version, key: fingerprint([path]) };
    writeRecord("chromium", record);
    return record;
  }
  return null;
}

/**
 * @param {string | null} libraries a folder of libraries that the machine lacks
 * @returns {NodeJS.ProcessEnv}
 */
function environment(libraries) {
  if (libraries === null) return process.env;
  const paths = [libraries, process.env["LD_LIBRARY_PATH"]].filter((path) => path);
  return { ...process.env, LD_LIBRARY_PATH: paths.join(":") };
}
