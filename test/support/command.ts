/** The `forge-gpu` command as a process of its own, run from the sources. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join, resolve } from "node:path";
import { text } from "node:stream/consumers";
import { pathToFileURL } from "node:url";
import { afterEach } from "vitest";

const repository = resolve(import.meta.dirname, "../..");
const TSX = pathToFileURL(join(import.meta.dirname, "tsx-in-threads.mjs")).href;

/** What a process came to. */
export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A process under way. */
export interface Started {
  readonly child: ChildProcess;
  readonly done: Promise<Outcome>;
}

/** Starts the command; `input` is all of its standard input, `cwd` where it runs. Default: nothing, the repository. */
export function startForgeGpu(args: readonly string[], input = "", cwd = repository): Started {
  const main = ["--import", TSX, join(repository, "src/cli/main.ts"), ...args];
  const child = spawn(process.execPath, main, { cwd });
  const finish = async (): Promise<Outcome> => {
    const output = Promise.all([text(child.stdout), text(child.stderr), once(child, "exit")]);
    const [stdout, stderr] = await output;
    return { code: child.exitCode, stdout, stderr };
  };
  child.stdin.end(input);
  return { child, done: finish() };
}

/** Runs the command. */
export function forgeGpu(args: readonly string[], input?: string, cwd?: string): Promise<Outcome> {
  return startForgeGpu(args, input, cwd).done;
}

/** Until a process has said something on stderr. Errors: it has ended without. */
export async function says({ child }: Started, words: string): Promise<void> {
  let text = "";
  await new Promise<void>((resolve, reject) => {
    child.stderr?.on("data", (part: Buffer) => {
      text += part;
      if (text.includes(words)) resolve();
    });
    child.once("exit", () => reject(new Error(`it has ended: ${text}`)));
  });
}

/** All that a process says on stderr from now on, as far as it has come. */
export function listenTo({ child }: Started): () => string {
  let said = "";
  child.stderr?.on("data", (part: Buffer) => {
    said += part;
  });
  return () => said;
}

/** Starts the command, again and again; what still runs when a test is over is killed. */
export function useForgeGpu(): (...args: readonly string[]) => Started {
  const started: Started[] = [];
  afterEach(async () => {
    for (const { child } of started) child.kill("SIGKILL");
    await Promise.all(started.splice(0).map(({ done }) => done));
  });
  return (...args) => {
    const process = startForgeGpu(args);
    started.push(process);
    return process;
  };
}
