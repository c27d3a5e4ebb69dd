/** The `forge-gpu` command as a process of its own, run from the sources. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { text } from "node:stream/consumers";

const repository = resolve(import.meta.dirname, "../..");

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

/** Starts the command; `input` is all of its standard input. */
export function startForgeGpu(args: readonly string[], input = ""): Started {
  const main = ["--import", "tsx", "src/cli/main.ts", ...args];
  const child = spawn(process.execPath, main, { cwd: repository });
  const finish = async (): Promise<Outcome> => {
    const output = Promise.all([text(child.stdout), text(child.stderr), once(child, "exit")]);
    const [stdout, stderr] = await output;
    return { code: child.exitCode, stdout, stderr };
  };
  child.stdin.end(input);
  return { child, done: finish() };
}

/** Runs the command. */
export function forgeGpu(args: readonly string[], input?: string): Promise<Outcome> {
  return startForgeGpu(args, input).done;
}
