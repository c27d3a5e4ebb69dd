/** A node that collects groups and plays none, and what of a trainer it needs: nothing of it samples. */
import { defineEnvironment } from "../../src/agent/define-environment.ts";
import { ManualClock } from "../../src/pool/clock.ts";
import { DataPool } from "../../src/pool/pool.ts";
import type { GroupRecord } from "../../src/pool/record.ts";
import { Scheduler, type SchedulerOptions } from "../../src/pool/scheduler.ts";
import type { Sampler } from "../../src/rollout/sampler.ts";
import { JobBoard } from "../../src/train/cluster/job-board.ts";
import { Collector } from "../../src/train/episode/collector.ts";
import { RequestDesk } from "../../src/train/episode/request-desk.ts";
import { languageOf } from "../../src/train/policy/language.ts";
import { newTokenizer } from "../../src/train/policy/new-tokenizer.ts";

/** Of the board's clock. */
export const LEASE = 90;

const { tokenizer } = newTokenizer({ kind: "characters", alphabet: "ab", chat: false });

const environment = defineEnvironment<number>({
  name: "numbers",
  tasks: { train: (index) => index },
  taskId: (task) => `task ${task}`,
  prompt: () => "ab",
  rewards: { one: () => 1 },
});

/** See the file's head. Groups have two sessions. */
export class CollectingWorld {
  readonly clock = new ManualClock();
  readonly board = new JobBoard({ clock: this.clock, leaseMs: LEASE });
  readonly scheduler: Scheduler;
  readonly pool: DataPool;
  readonly collector: Collector<number>;
  /** Those that came to nothing. */
  readonly buried: number[] = [];

  constructor(scheduler: SchedulerOptions, groupTimeout?: number) {
    this.scheduler = new Scheduler(scheduler);
    this.pool = new DataPool({
      ...{ capacityTokens: 1, clock: this.clock },
      onFinished: (group) => this.#finish(group),
    });
    // nothing is played here: nobody asks it
    const desk = new RequestDesk({} as Sampler);
    this.collector = new Collector({
      ...{ environment, desk, language: languageOf({ tokenizer }, 8), sampling: { length: 8 } },
      ...{ scheduler: this.scheduler, pool: this.pool, clock: this.clock, groupSize: 2, seed: 1 },
      ...{ elsewhere: this.board, localGroups: () => 0 },
      ...(groupTimeout !== undefined && { groupTimeout }),
    });
  }

  /** Goes on by so much time, and lets who waits go on. */
  async pass(time = 0): Promise<void> {
    this.clock.advanceTo(this.clock.now() + time);
    await settled();
  }

  #finish(group: GroupRecord): void {
    const { groupId, isTrainable } = group;
    this.collector.finished(group);
    if (isTrainable) {
      this.scheduler.finish(groupId);
    } else {
      this.buried.push(groupId);
      this.scheduler.bury(groupId);
    }
  }
}

/** Until what is fulfilled has gone on as far as it can. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await null;
}
