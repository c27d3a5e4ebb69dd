/** Runs another program and waits for it. */
import { spawnSync } from "node:child_process";

/**
 * A failure that a person can mend: what did not work, and the command or step that helps.
 */
export class SetUpError extends Error {
  /**
   * @param {string} what
   * @param {string} fix
   */
  constructor(what, fix) {
    super(what);
    this.fix = fix;
  }
}

/**
 * @typedef {object} Finished
 * @property {boolean} ok whether it ended with code 0
 * @property {string} stdout
 * @property {string} output stdout and stderr, for messages
 */

/**
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, input?: string, timeoutMs?: number }} [options]
 * @returns {Finished}
 */
export function run(command, args, { cwd, env, input, timeoutMs } = {}) {
  const done = spawnSync(command, args, {
    encoding: "utf8",
    maxBuffer: 1 << 28,
    ...(cwd !== undefined && { cwd }),
    ...(env !== undefined && { env }),
    ...(input !== undefined && { input }),
    ...(timeoutMs !== undefined && { timeout: timeoutMs, killSignal: "SIGKILL" }),
  });
  const failure = done.error ? `${done.error.message}\n` : "";
  const stdout = done.stdout ?? "";
  return {
    ok: done.status === 0,
    stdout,
    output: `${failure}${stdout}${done.stderr ?? ""}`.trim(),
  };
}

/** Without a network npm's own retries take minutes to give up. */
const PATIENCE = [
  "--fetch-retries=2",
  "--fetch-retry-mintimeout=1000",
  "--fetch-retry-maxtimeout=5000",
];

/**
 * Runs npm: the one that runs this script, if one does.
 *
 * @param {readonly string[]} args
 * @param {{ cwd: string }} options
 * @returns {Finished}
 */
export function npm(args, { cwd }) {
  const all = [...args, ...PATIENCE];
  const script = process.env["npm_execpath"];
  if (script?.endsWith("npm-cli.js")) return run(process.execPath, [script, ...all], { cwd });
  if (process.platform === "win32")
    return run("cmd.exe", ["/d", "/s", "/c", "npm", ...all], { cwd });
  return run("npm", all, { cwd });
}

/**
 * The last lines of a program's output, for a message.
 *
 * @param {string} output
 * @returns {string}
 */
export function tail(output) {
  return output.split("\n").slice(-8).join("\n");
}
