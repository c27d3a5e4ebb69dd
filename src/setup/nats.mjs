/** A NATS server for the tests of clusters: the machine's own, or the one in Debian's package, unpacked into the cache. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { delimiter, join } from "node:path";
import { aptUpdate, aptVersion, elevation, hasApt } from "./apt.mjs";
import { cacheFolder } from "./paths.mjs";
import { fingerprint, readRecord, writeRecord } from "./records.mjs";
import { run, SetUpError, tail } from "./run.mjs";

/** @typedef {import("./setup.mjs").NatsRecord} NatsRecord */
/** @typedef {import("./setup.mjs").SetUpOptions} SetUpOptions */

const PACKAGE = "nats-server";
const FIX =
  "install nats-server 2.9 or later, from your system's packages or nats.io, into the PATH";

/** Where the package is unpacked. */
const folder = () => join(cacheFolder(), PACKAGE);

/**
 * The recorded server, if it is still the same file.
 *
 * @returns {NatsRecord | null}
 */
export function knownNats() {
  /** @type {NatsRecord | null} */
  const record = readRecord("nats");
  return record?.path && record.key === fingerprint([record.path]) ? record : null;
}

/**
 * Finds a server, or brings one, and records it. Nothing is installed: the package would start a service that listens.
 *
 * @param {Required<Pick<SetUpOptions, "say" | "user">>} options
 * @returns {NatsRecord}
 * @throws {SetUpError} when there is none and none can be brought
 */
export function prepareNats({ say, user }) {
  const present = firstUsable(installed()) ?? firstUsable(unpacked());
  if (present) return present;
  if (!hasApt()) throw new SetUpError("no NATS server was found", FIX);
  const as = user ? null : elevation();
  if (aptVersion(PACKAGE, "Candidate") === null && as) aptUpdate(as);
  say("unpacking nats-server (apt) into the cache");
  unpack();
  const brought = firstUsable(unpacked());
  if (brought) return brought;
  throw new SetUpError("the NATS server of the system's package does not run", FIX);
}

/** Downloads the package and takes it apart, as no more than this user. */
function unpack() {
  mkdirSync(cacheFolder(), { recursive: true });
  const draft = mkdtempSync(join(cacheFolder(), `${PACKAGE}-`));
  try {
    const downloaded = run("apt-get", ["download", PACKAGE], { cwd: draft });
    const archive = readdirSync(draft).find((name) => name.endsWith(".deb"));
    if (!downloaded.ok || archive === undefined) {
      throw new SetUpError(`nats-server cannot be downloaded:\n${tail(downloaded.output)}`, FIX);
    }
    const files = join(draft, "files");
    const opened = run("dpkg", ["-x", join(draft, archive), files]);
    if (!opened.ok) {
      throw new SetUpError(`nats-server cannot be unpacked:\n${tail(opened.output)}`, FIX);
    }
    rmSync(folder(), { recursive: true, force: true });
    renameSync(files, folder());
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

/** @returns {string[]} */
function installed() {
  const name = process.platform === "win32" ? `${PACKAGE}.exe` : PACKAGE;
  const folders = (process.env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  // a user's PATH need not have it
  return [...folders, "/usr/sbin"].map((folder) => join(folder, name));
}

/** @returns {string[]} */
function unpacked() {
  return ["usr/sbin", "usr/bin"].map((bin) => join(folder(), bin, PACKAGE));
}

/**
 * Asks servers in turn for their version, and records the first that says it.
 *
 * @param {readonly string[]} paths
 * @returns {NatsRecord | null}
 */
function firstUsable(paths) {
  for (const path of paths) {
    if (!existsSync(path)) continue;
    const asked = run(path, ["--version"], { timeoutMs: 60_000 });
    if (!asked.ok) continue;
    const record = { path, version: asked.stdout.trim(), key: fingerprint([path]) };
    writeRecord("nats", record);
    return record;
  }
  return null;
}
