/** Nodes of a cluster on this machine, each in a process of its own that ends with this one. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Token } from "../../cluster/index.ts";

/** What is started. */
export interface LocalNodesOptions {
  /** The arguments of `forge-gpu node` that all have in common, and which say nothing secret. */
  readonly args: readonly string[];
  readonly names: readonly string[];
  readonly token: Token;
  /** Told what becomes of them. */
  readonly onEvent: (text: string) => void;
}

/** Milliseconds that a node has to end by itself. */
const PATIENCE = 5_000;

/** Lines that are kept of what a node says. */
const LINES = 20;

/** See the file's head. */
export class LocalNodes implements AsyncDisposable {
  readonly #folder: string;
  readonly #children: readonly ChildProcess[];
  #isEnding = false;

  private constructor(folder: string, { args, names, onEvent }: LocalNodesOptions) {
    this.#folder = folder;
    this.#children = names.map((name) => this.#start(name, args, onEvent));
  }

  /** Starts them. The token is in a file that is its owner's alone, and gone with them. */
  static async start(options: LocalNodesOptions): Promise<LocalNodes> {
    const folder = await mkdtemp(join(tmpdir(), "forge-gpu-cluster-"));
    await options.token.write(join(folder, "token"));
    return new LocalNodes(folder, options);
  }

  /** Ends them: by themselves, as long as they do. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isEnding = true;
    await Promise.all(this.#children.map(ended));
    await rm(this.#folder, { recursive: true, force: true });
  }

  #start(name: string, args: readonly string[], onEvent: (text: string) => void): ChildProcess {
    const own = ["--node-id", name, "--token-file", join(this.#folder, "token"), "--follow"];
    const main = process.argv[1] as string;
    const child = spawn(process.execPath, [...process.execArgv, main, "node", ...args, ...own], {
      stdio: ["pipe", "ignore", "pipe"],
    });
    const said: string[] = [];
    child.stdin?.on("error", () => {});
    if (child.stderr)
      createInterface(child.stderr).on("line", (line) => {
        said.push(line);
        if (said.length > LINES) said.shift();
      });
    const gone = (how: string): void => {
      if (this.#isEnding) return;
      const reason = said
        .filter((line) => line.trim() !== "")
        .slice(-LINES)
        .join("\n  ");
      onEvent(`${name} has ended (${how})${reason === "" ? "" : `:\n  ${reason}`}`);
    };
    child.once("error", (error) => gone(error.message));
    child.once("exit", (code, signal) => {
      if (code !== 0) gone(signal ?? `exit code ${code}`);
    });
    return child;
  }
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const exit = new Promise((resolve) => child.once("exit", resolve));
  child.stdin?.end();
  const timer = setTimeout(() => child.kill("SIGKILL"), PATIENCE);
  await exit;
  clearTimeout(timer);
}
