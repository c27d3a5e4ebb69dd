/** Debian's and Ubuntu's packages: what may be installed, and from where. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { run, SetUpError, tail } from "./run.mjs";

/** @returns {Record<string, string>} the fields of /etc/os-release */
export function osRelease() {
  if (!existsSync("/etc/os-release")) return {};
  const fields = readFileSync("/etc/os-release", "utf8").matchAll(/^(\w+)="?([^"\n]*)"?$/gm);
  return Object.fromEntries([...fields].map(([, name, value]) => [name, value]));
}

/** Whether this system installs its packages with apt. */
export function hasApt() {
  return process.platform === "linux" && existsSync("/usr/bin/apt-get");
}

/**
 * What to write before a command that needs root: nothing for root itself, `sudo -n` where that asks for no password.
 *
 * @returns {readonly string[] | null} null when this user may not install
 */
export function elevation() {
  if (process.getuid?.() === 0) return [];
  return run("sudo", ["-n", "true"]).ok ? ["sudo", "-n"] : null;
}

/**
 * Runs a command as root.
 *
 * @param {readonly string[]} as the result of `elevation`
 * @param {readonly string[]} command
 * @param {string} [input]
 */
function asRoot(as, command, input) {
  const [program = "", ...args] = [...as, "env", "DEBIAN_FRONTEND=noninteractive", ...command];
  return run(program, args, input === undefined ? {} : { input });
}

/**
 * Refreshes apt's lists. Some of a machine's sources may be out of reach while the one that matters is not, so a failure
 * is left to show in the installation.
 *
 * @param {readonly string[]} as
 */
export function aptUpdate(as) {
  asRoot(as, ["apt-get", "update"]);
}

/**
 * @param {readonly string[]} as
 * @param {readonly string[]} packages `name` or `name/suite`
 * @throws {SetUpError} when apt fails
 */
export function aptInstall(as, packages) {
  const command = ["apt-get", "install", "-y", "--no-install-recommends"];
  const done = asRoot(as, [...command, "-o", "DPkg::Lock::Timeout=300", ...packages]);
  if (!done.ok) {
    const line = ["sudo", "apt-get", "install", ...packages].join(" ");
    throw new SetUpError(`apt-get failed:\n${tail(done.output)}`, line);
  }
}

/**
 * The version of a package that apt has installed or would install.
 *
 * @param {string} name
 * @param {"Installed" | "Candidate"} which
 * @returns {string | null}
 */
export function aptVersion(name, which) {
  const { stdout } = run("apt-cache", ["policy", name], { env: { ...process.env, LC_ALL: "C" } });
  const version = new RegExp(`^ *${which}: (.*)$`, "m").exec(stdout)?.[1];
  return version && version !== "(none)" ? version : null;
}

/** Where apt is told of a release's backports. */
export const BACKPORTS_LIST = "/etc/apt/sources.list.d/forge-gpu-backports.list";

/**
 * The line that tells apt of a release's backports, from the mirror that the machine already uses. Packages come from there
 * only when asked for by name, so that nothing else changes.
 *
 * @param {string} codename the release
 * @returns {{ line: string } | "present" | null} null when the machine has no source for the release
 */
export function backports(codename) {
  const sources = aptSources();
  const suite = `${codename}-backports`;
  if (sources.some(({ suites }) => suites.includes(suite))) return "present";
  const main = sources.find(({ suites }) => suites.includes(codename));
  if (!main) return null;
  const options = main.signedBy ? `[signed-by=${main.signedBy}] ` : "";
  return { line: `deb ${options}${main.uri} ${suite} main` };
}

/**
 * Adds the release's backports to apt's sources, unless they are there.
 *
 * @param {readonly string[]} as
 * @param {string} codename the release
 * @returns {boolean} whether there are backports to install from
 */
export function addBackports(as, codename) {
  const found = backports(codename);
  if (found === null || found === "present") return found !== null;
  const text = `# Added by forge-gpu's set-up, for a Mesa that is new enough for WebGPU.\n${found.line}\n`;
  return asRoot(as, ["tee", BACKPORTS_LIST], text).ok;
}

/**
 * @typedef {object} AptSource
 * @property {string} uri
 * @property {readonly string[]} suites
 * @property {string | null} signedBy
 */

/** @returns {AptSource[]} the machine's own sources */
function aptSources() {
  const folder = "/etc/apt/sources.list.d";
  const files = existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
  return ["/etc/apt/sources.list", ...files]
    .filter((file) => existsSync(file))
    .flatMap((file) => {
      const text = readFileSync(file, "utf8");
      return file.endsWith(".sources") ? parseDeb822(text) : parseOneLine(text);
    });
}

/**
 * Parses the paragraphs of a `.sources` file. An embedded key (a many-line Signed-By) is left out.
 *
 * @param {string} text
 * @returns {AptSource[]}
 */
export function parseDeb822(text) {
  const paragraphs = text.replace(/^#.*\n?/gm, "").split(/\n\s*\n/);
  return paragraphs.flatMap((paragraph) => {
    /** @param {string} name */
    const field = (name) => new RegExp(`^${name}:[ \\t]*(.+)$`, "im").exec(paragraph)?.[1]?.trim();
    const uri = field("URIs")?.split(/\s+/)[0];
    if (!uri || !/\bdeb\b/.test(field("Types") ?? "") || field("Enabled") === "no") return [];
    return [
      { uri, suites: field("Suites")?.split(/\s+/) ?? [], signedBy: field("Signed-By") ?? null },
    ];
  });
}

/**
 * Parses the lines of a `.list` file.
 *
 * @param {string} text
 * @returns {AptSource[]}
 */
export function parseOneLine(text) {
  return [...text.matchAll(/^deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)/gm)].map(
    ([, options = "", uri = "", suite = ""]) => ({
      uri,
      suites: [suite],
      signedBy: /signed-by=(\S+)/.exec(options)?.[1] ?? null,
    }),
  );
}
