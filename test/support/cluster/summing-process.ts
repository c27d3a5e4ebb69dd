/** Summing nodes as processes; see `summing.ts`. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { childProgram } from "../child-program.ts";
import type { Committed, SummingConfig, SummingEvent } from "./summing.ts";

/** A process, and all that it has said. */
export class SummingProcess {
  readonly id: string;
  readonly process: ChildProcess;
  readonly events: SummingEvent[] = [];
  stderr = "";
  readonly #config: SummingConfig;

  /** @param under a command that runs commands, and becomes them */
  constructor(config: SummingConfig, under: readonly string[] = []) {
    this.id = config.id;
    this.#config = config;
    const [command, ...args] = [
      ...under,
      process.execPath,
      childProgram("cluster/summing-node-child.ts"),
    ];
    this.process = spawn(command as string, args, { stdio: ["pipe", "pipe", "pipe"] });
    const { stdin, stdout, stderr } = this.process;
    stdin?.on("error", () => {});
    stdin?.write(`${JSON.stringify(config)}\n`);
    if (stdout) createInterface(stdout).on("line", (line) => this.events.push(JSON.parse(line)));
    stderr?.on("data", (data) => {
      this.stderr += data;
    });
  }

  get commits(): Committed[] {
    return this.events.filter((event) => event.type === "committed");
  }

  get step(): number {
    return this.commits.at(-1)?.step ?? 0;
  }

  /** Where it listens. */
  get url(): string | undefined {
    return this.#listening?.url;
  }

  /** Where others reach it, once it listens. */
  get address(): string {
    return this.#config.advertise ?? (this.url as string);
  }

  /** Where its ring listens. */
  get ring(): string | undefined {
    return this.#listening?.ring;
  }

  /** The first step that others have committed in this world, from this moment on. */
  commitOf(world: number, from: number): Committed | undefined {
    return this.commits.find(({ members, at }) => members.length === world && at >= from);
  }

  get #listening(): Extract<SummingEvent, { type: "listening" }> | undefined {
    return this.events.find((event) => event.type === "listening");
  }
}
