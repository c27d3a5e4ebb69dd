/** The processes of the all-reduce benchmark, one for each rank, and what they are told. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { extname, join } from "node:path";
import { ForgeError } from "../../engine/error.ts";
import type { Order } from "./allreduce-process.ts";
import type { Doors, RankSettings, Turn, Way } from "./allreduce-rank.ts";
import type { SumCheck } from "./allreduce-sum.ts";

/** How processes are started. */
export interface RanksOptions {
  /** Flags of Node. Default: those of this process. */
  readonly execArgv?: readonly string[];
  /** What is put before the command of a rank. Default: nothing. */
  readonly under?: (rank: number) => readonly string[];
}

/**
 * See the file's head. Each runs what this process runs, from the sources or from the package.
 *
 * Errors    `internal` when one of them fails.
 */
export class AllreduceRanks implements AsyncDisposable {
  readonly #processes: readonly ChildProcess[];
  /** Those that take part. */
  #ranks: readonly ChildProcess[] = [];

  constructor(world: number, { execArgv = process.execArgv, under = () => [] }: RanksOptions = {}) {
    const entry = join(import.meta.dirname, `allreduce-process${extname(import.meta.filename)}`);
    this.#processes = Array.from({ length: world }, (_, rank) => {
      const [command = "", ...args] = [...under(rank), process.execPath, ...execArgv, entry];
      return spawn(command, args, { stdio: ["inherit", "inherit", "inherit", "ipc"] });
    });
  }

  /**
   * Makes the ranks, which listen, each at its host or on the loopback interface, in place of those there were. Those of a smaller
   * world are the first processes.
   */
  open(
    settings: Omit<RankSettings, "rank" | "token" | "host">,
    hosts: readonly string[] = [],
  ): Promise<Doors[]> {
    this.#ranks = this.#processes.slice(0, settings.world);
    const token = randomBytes(32).toString("hex");
    return this.#askAll((rank) => {
      const host = hosts[rank];
      const own = { rank, token, ...(host !== undefined && { host }) };
      return { do: "open", settings: { ...settings, ...own } };
    });
  }

  /** Has each dial its predecessor. */
  async begin(doors: readonly Doors[]): Promise<void> {
    await this.#askAll(() => ({ do: "begin", doors }));
  }

  /** Moves a vector's bytes once; what each rank took. */
  run(way: Way): Promise<Turn[]> {
    return this.#askAll(() => ({ do: "run", way }));
  }

  /** As {@link AllreduceRank.check}, of each. */
  check(): Promise<SumCheck[]> {
    return this.#askAll(() => ({ do: "check" }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(
      this.#processes.map(async (process) => {
        if (process.exitCode !== null || process.signalCode !== null) return;
        const isGone = new Promise((resolve) => process.once("exit", resolve));
        if (process.connected) process.disconnect();
        await isGone;
      }),
    );
  }

  #askAll<T>(orderOf: (rank: number) => Order): Promise<T[]> {
    return Promise.all(this.#ranks.map((process, rank) => ask<T>(process, rank, orderOf(rank))));
  }
}

async function ask<T>(process: ChildProcess, rank: number, order: Order): Promise<T> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      process.off("message", onMessage).off("exit", onExit);
    };
    const onMessage = (message: { readonly answer?: unknown; readonly error?: string }): void => {
      settle();
      if (message.error === undefined) resolve(message.answer as T);
      else reject(failed(rank, message.error));
    };
    const onExit = (code: number | null): void => {
      settle();
      reject(failed(rank, `it ended with ${code}`));
    };
    process.on("message", onMessage).on("exit", onExit);
    process.send(order);
  });
}

function failed(rank: number, why: string): ForgeError {
  return new ForgeError({
    code: "internal",
    what: "bench allreduce: a process has failed.",
    got: `rank ${rank}: ${why}`,
    fix: "give it a smaller vector if memory was short, or else report this as a bug",
  });
}
