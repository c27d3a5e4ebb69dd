/** A peer as seen from the benchmark: a child process that is told what to do, and asked for one block at a time. */
import { type ChildProcess, fork } from "node:child_process";
import { join } from "node:path";
import type { MatmulSpec } from "../../../src/bench/matmul.ts";
import type { Contender } from "../../../src/bench/measure.ts";
import type { PeerSetup, Reply, Request } from "./serve.ts";

/** An engine in its own process. Dispose it to end that. */
export class Peer implements Disposable {
  readonly name: string;
  readonly #child: ChildProcess;

  constructor(setup: PeerSetup) {
    const { engine, backend, isPaced } = setup;
    this.name = `${engine} ${backend}${backend === "wasm" || isPaced ? "" : ", spinning"}`;
    this.#child = fork(join(import.meta.dirname, "serve.ts"), [JSON.stringify(setup)], {
      execArgv: ["--import", "tsx"],
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    this.#child.stderr?.resume();
  }

  /** Its product as a contender, checked. */
  async matmul(spec: MatmulSpec): Promise<Contender> {
    return this.#contender(await this.#ask({ kind: "matmul", spec }));
  }

  /** Its training step as a contender, checked. */
  async train(): Promise<Contender> {
    return this.#contender(await this.#ask({ kind: "train" }));
  }

  [Symbol.dispose](): void {
    this.#child.disconnect();
  }

  /** Whether contenders of this name compute on something else than the adapter. */
  static isElsewhere(name: string): boolean {
    return name.endsWith(" wasm");
  }

  #contender(ready: Reply): Contender {
    if (ready.kind !== "ready") throw new Error(`${this.name} answered ${ready.kind}`);
    const { task } = ready;
    return {
      name: this.name,
      block: async (calls) => {
        const reply = await this.#ask({ kind: "block", task, calls });
        if (reply.kind !== "block") throw new Error(`${this.name} answered ${reply.kind}`);
        return reply.block;
      },
    };
  }

  #ask(request: Request): Promise<Reply> {
    const child = this.#child;
    return new Promise((resolve, reject) => {
      const settle = (act: () => void): void => {
        child.off("message", onMessage);
        child.off("exit", onExit);
        act();
      };
      const onExit = (code: number | null, signal: string | null): void =>
        settle(() => reject(new Error(`${this.name} ended: ${signal ?? `code ${code}`}`)));
      const onMessage = (reply: Reply): void =>
        settle(() => {
          if (reply.kind === "failed") reject(new Error(`${this.name}: ${reply.message}`));
          else resolve(reply);
        });
      child.on("message", onMessage);
      child.on("exit", onExit);
      child.send(request);
    });
  }
}
