/** A node that leads a run whose groups are played by others, over NATS, and what of a trainer it needs: nothing of it samples. */
import { defineEnvironment } from "../../src/agent/define-environment.ts";
import { toBase64 } from "../../src/pool/base64.ts";
import { wallClock } from "../../src/pool/clock.ts";
import { DataPool, type DataPoolOptions } from "../../src/pool/pool.ts";
import { Scheduler } from "../../src/pool/scheduler.ts";
import type { Sampler } from "../../src/rollout/sampler.ts";
import { NatsLink } from "../../src/train/cluster/nats/connection.ts";
import { NatsBoard, type NatsBoardOptions } from "../../src/train/cluster/nats/nats-board.ts";
import type { EncodedGroup } from "../../src/train/cluster/played-group.ts";
import { Collector } from "../../src/train/episode/collector.ts";
import type { Job } from "../../src/train/episode/dispatcher.ts";
import { RequestDesk } from "../../src/train/episode/request-desk.ts";
import { languageOf } from "../../src/train/policy/language.ts";
import { newTokenizer } from "../../src/train/policy/new-tokenizer.ts";
import { playedGroup } from "./played-group.ts";

export const RUN = "0123456789abcdef0123456789abcdef";
/** Groups in flight, and of a step. */
const [SLOTS, STEP] = [16, 4];

/** How far beyond the oldest group a step may look. */
export const WINDOW = 8;

const scheduling = { slots: SLOTS, groupsPerStep: STEP, window: WINDOW };
const { tokenizer } = newTokenizer({ kind: "characters", alphabet: "ab", chat: false });

const environment = defineEnvironment<number>({
  name: "numbers",
  tasks: { train: (index) => index },
  taskId: (task) => `task ${task}`,
  prompt: () => "ab",
  rewards: { one: () => 1 },
});

/** A leader between two steps. */
export interface WorldSnapshot {
  readonly scheduler: ReturnType<Scheduler["snapshot"]>;
  readonly pool: ReturnType<DataPool["snapshot"]>;
}

/** See the file's head. Groups have two sessions. */
export class NatsWorld implements AsyncDisposable {
  readonly link: NatsLink;
  readonly board: NatsBoard;
  /** What the board has complained of. */
  readonly troubles: Error[];
  /** Times that each group was finished. */
  readonly finished = new Map<number, number>();
  readonly #scheduler: Scheduler;
  readonly #pool: DataPool;
  readonly #collector: Collector<number>;

  private constructor(
    link: NatsLink,
    board: NatsBoard,
    { troubles, from }: { troubles: Error[]; from: WorldSnapshot | undefined },
  ) {
    this.link = link;
    this.board = board;
    this.troubles = troubles;
    const options: DataPoolOptions = {
      capacityTokens: 1,
      onFinished: (group) => {
        this.finished.set(group.groupId, (this.finished.get(group.groupId) ?? 0) + 1);
        this.#collector.finished(group);
        this.#scheduler.finish(group.groupId);
      },
    };
    this.#scheduler = from
      ? Scheduler.restore(scheduling, from.scheduler)
      : new Scheduler(scheduling);
    this.#pool = from ? DataPool.restore(options, from.pool) : new DataPool(options);
    // nothing is played here: nobody asks it
    const desk = new RequestDesk({} as Sampler);
    this.#collector = new Collector({
      ...{ environment, desk, language: languageOf({ tokenizer }, 8), sampling: { length: 8 } },
      ...{
        scheduler: this.#scheduler,
        pool: this.#pool,
        clock: wallClock(),
        groupSize: 2,
        seed: 1,
      },
      ...{ elsewhere: board, localGroups: () => 0 },
    });
  }

  static async open(
    url: string,
    options: Partial<NatsBoardOptions> & { from?: WorldSnapshot } = {},
  ): Promise<NatsWorld> {
    const { from, ...rest } = options;
    const troubles: Error[] = [];
    const link = await NatsLink.open({ servers: [url], name: "leader" });
    const board = await NatsBoard.open(link, {
      ...{ runId: RUN, groups: SLOTS, leaseMs: 1500, ...rest },
      onTrouble: (error) => troubles.push(error),
    });
    const world = new NatsWorld(link, board, { troubles, from });
    if (from) await world.#collector.restart(async () => {});
    return world;
  }

  /** Begins what there is room for. */
  admit(): void {
    this.#collector.admit();
  }

  /** Takes the groups of a step; {@link commit} is another matter. */
  async collect(): Promise<number[]> {
    const groups: number[] = [];
    while (groups.length < STEP) {
      this.#collector.admit();
      const ticket = await this.#scheduler.whenTaken();
      if (!ticket) throw new Error("no group is left");
      this.#pool.take(ticket.id);
      groups.push(ticket.id);
    }
    return groups;
  }

  /** The step that was collected is committed. */
  commit(): WorldSnapshot {
    this.#scheduler.stepped();
    this.board.committed(this.#scheduler.head);
    return { scheduler: this.#scheduler.snapshot(), pool: this.#pool.snapshot() };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#collector.close(async () => {});
    await this.board[Symbol.asyncDispose]();
    await this.link[Symbol.asyncDispose]();
  }
}

/** What a player makes of a job, as it is handed in. */
export function encodedGroup(job: Job, details: unknown = null): EncodedGroup {
  const group = playedGroup(job);
  return {
    ...group,
    sessions: group.sessions.map((session) => ({
      ...session,
      details,
      completions: session.completions.map((completion) => ({
        ...{ parent: null, role: "main", ...completion },
        promptIds: toBase64(Uint32Array.from(completion.promptIds)),
        responseIds: toBase64(Uint32Array.from(completion.responseIds)),
        behaviorLogprobs: toBase64(Float32Array.from(completion.behaviorLogprobs)),
      })),
    })),
  };
}
