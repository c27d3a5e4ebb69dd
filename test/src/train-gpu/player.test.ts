/** A player by itself: what it does with what it is told. */
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { type CausalLM, createModel, type Device, ForgeError } from "../../../engine/index.ts";
import { defineEnvironment } from "../../../src/agent/define-environment.ts";
import type { Environment } from "../../../src/agent/environment.ts";
import type { JobSource, Taken, TakeRequest } from "../../../src/train/cluster/job-source.ts";
import { decodePlayedGroup, type EncodedGroup } from "../../../src/train/cluster/played-group.ts";
import { Player, type PlayerOptions } from "../../../src/train/cluster/player.ts";
import type { Job } from "../../../src/train/episode/dispatcher.ts";
import { nextTask } from "../../../src/train/episode/request-desk.ts";
import { Rollout } from "../../../src/train/episode/rollout.ts";
import { newTokenizer } from "../../../src/train/policy/new-tokenizer.ts";
import { errorOf, rejectionOf } from "../../support/errors.ts";
import { device } from "../../support/gpu.ts";

const { tokenizer } = newTokenizer({ kind: "characters", alphabet: "ab", chat: false });
const LENGTH = 16;

type Definition = Parameters<typeof defineEnvironment<number>>[0];

function counting(given: Partial<Definition> = {}): Environment<number> {
  return defineEnvironment<number>({
    name: "counting",
    tasks: { train: (index) => index },
    ...(given.play === undefined && { prompt: () => "ab" }),
    maxTokens: 4,
    rewards: { one: () => 1 },
    ...given,
  });
}

/** A board that says what the test says, and notes what it is asked and given. */
class Board implements JobSource {
  readonly asked: TakeRequest[] = [];
  readonly given: EncodedGroup[] = [];
  /** What is thrown at the next who gives. */
  refusal: unknown;
  #answer: ((taken: Taken) => void) | undefined;
  #whenGiven: (() => void)[] = [];

  async take(request: TakeRequest, signal: AbortSignal): Promise<Taken> {
    this.asked.push(request);
    return new Promise((resolve, reject) => {
      this.#answer = resolve;
      signal.addEventListener("abort", () => reject(signal.reason));
    });
  }

  async give(group: EncodedGroup): Promise<"taken"> {
    const { refusal } = this;
    this.refusal = undefined;
    if (refusal) throw refusal;
    this.given.push(group);
    for (const call of this.#whenGiven.splice(0)) call();
    return "taken";
  }

  tell(jobs: readonly Partial<Job>[], cancelled: readonly number[] = []): void {
    const first = { groupId: 0, attempt: 1, version: 0 };
    this.#answer?.({ jobs: jobs.map((job) => ({ ...first, ...job })), cancelled });
  }

  async whenGiven(count: number): Promise<void> {
    while (this.given.length < count)
      await new Promise<void>((resolve) => this.#whenGiven.push(resolve));
  }
}

let gpu: Device;
let model: CausalLM;
beforeAll(async () => {
  gpu = await device();
  const sizes = { layers: 1, width: 16, heads: 2, mlpWidth: 16, maxDepth: LENGTH, seed: 3 };
  model = createModel({ ...sizes, vocab: tokenizer.vocabSize });
});

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

function playerOf(
  given: Partial<PlayerOptions<number>> = {},
  isDeterministic = true,
): { board: Board; player: Player<number>; rollout: Rollout; stop: AbortController } {
  const options = { device: gpu, model, tokenizer, length: LENGTH };
  const rollout = new Rollout({ ...options, batch: 4, isDeterministic });
  const board = new Board();
  const player = new Player<number>({
    ...{ environment: counting(), source: board, rollout, groups: 2, groupSize: 2, seed: 1 },
    sampling: { length: LENGTH },
    ...given,
  });
  const stop = new AbortController();
  closing.push(async () => {
    stop.abort();
    await player.close();
    await rollout.close();
  });
  return { board, player, rollout, stop };
}

async function turns(count = 50): Promise<void> {
  for (let turn = 0; turn < count; turn++) await nextTask();
}

describe("Player", () => {
  it("asks with the room it has, plays, gives, and has room again", async () => {
    const { board, player, stop } = playerOf();
    const playing = player.play(stop.signal);
    board.tell([{ groupId: 7, attempt: 3 }]);
    await board.whenGiven(1);
    const [group] = board.given as [EncodedGroup];
    expect(decodePlayedGroup(group)).toMatchObject({
      ...{ groupId: 7, attempt: 3, taskId: "7", agentError: null },
      sessions: [{ completions: [{}] }, { completions: [{}] }],
    });
    await turns();
    expect(board.asked).toEqual([
      { room: 2, holds: [] },
      { room: 1, holds: [{ groupId: 7, attempt: 3 }] },
      { room: 2, holds: [] },
    ]);
    stop.abort();
    await playing;
    expect(player.size).toBe(0);
  });

  it("does nothing where there is nothing to do", async () => {
    const { board, player, rollout, stop } = playerOf({}, false);
    let count = 0;
    const turn = rollout.turn.bind(rollout);
    rollout.turn = async (signal) => {
      count++;
      await turn(signal);
    };
    const playing = player.play(stop.signal);
    await turns(300);
    expect([count, board.asked.length]).toEqual([1, 1]);
    board.tell([]);
    await turns(300);
    expect([count, board.asked.length]).toEqual([1, 2]);
    stop.abort();
    await playing;
  });

  it("plays groups in any order, and one again", async () => {
    const { board, player, stop } = playerOf();
    const playing = player.play(stop.signal);
    board.tell([{ groupId: 5 }, { groupId: 2 }]);
    await board.whenGiven(2);
    await turns();
    board.tell([{ groupId: 5, attempt: 9 }]);
    await board.whenGiven(3);
    const again = board.given.filter(({ groupId }) => groupId === 5);
    expect(again.map(({ attempt }) => attempt)).toEqual([1, 9]);
    const drawn = again.map(({ sessions }) =>
      sessions.map(({ completions }) => completions.map(({ responseIds }) => responseIds)),
    );
    expect(drawn[1]).toEqual(drawn[0]);
    stop.abort();
    await playing;
  });

  it("plays a job once that it is told of twice, and of two of a group the later one", async () => {
    const { board, player, stop } = playerOf();
    const early = new AbortController();
    const playing = player.play(early.signal);
    board.tell([{ version: 1 }]);
    await turns();
    expect(board.asked.at(-1)?.holds).toHaveLength(1);
    board.tell([{ version: 1 }, { version: 1 }]);
    await turns();
    board.tell([{ attempt: 2, version: 0 }]);
    await board.whenGiven(1);
    await turns();
    expect(board.given.map(({ attempt }) => attempt)).toEqual([2]);
    early.abort();
    stop.abort();
    await playing;
  });

  it("does not begin anew what it is told of twice, and calls off what a later hand-out replaces", async () => {
    const begun: AbortSignal[] = [];
    let go = (): void => {};
    const gate = new Promise<void>((resolve) => {
      go = resolve;
    });
    const environment = counting({
      play: async ({ policy, signal }) => {
        begun.push(signal);
        await gate;
        await policy.generate({ prompt: "ab" });
      },
    });
    const { board, player, stop } = playerOf({ environment }, false);
    const playing = player.play(stop.signal);
    for (const attempt of [1, 1, 2]) {
      board.tell([{ attempt }]);
      await turns();
    }
    expect(begun.map(({ aborted }) => aborted)).toEqual([true, true, false, false]);
    go();
    await board.whenGiven(1);
    expect(board.given.map(({ attempt }) => attempt)).toEqual([2]);
    stop.abort();
    await playing;
  });

  it("gives nothing of a group that was called off", async () => {
    const { board, player, rollout, stop } = playerOf();
    const playing = player.play(stop.signal);
    const turn = rollout.turn.bind(rollout);
    let isCancelled = false;
    rollout.turn = async (signal) => {
      // once it is under way
      if (player.size > 0 && !isCancelled) {
        isCancelled = true;
        board.tell([], [0]);
      }
      await turn(signal);
    };
    board.tell([{}]);
    while (!isCancelled || player.size > 0) await nextTask();
    await turns();
    expect(board.given).toEqual([]);
    board.tell([{ groupId: 1 }]);
    await board.whenGiven(1);
    expect(board.given.map(({ groupId }) => groupId)).toEqual([1]);
    stop.abort();
    await playing;
  });

  it("samples nothing with weights that are older than asked for", async () => {
    let arrive = (): void => {};
    const wanted: number[] = [];
    const { board, player, rollout, stop } = playerOf({
      whenVersion: async (version) => {
        wanted.push(version);
        await new Promise<void>((resolve) => {
          arrive = resolve;
        });
      },
    });
    const playing = player.play(stop.signal);
    board.tell([
      { groupId: 0, version: 2 },
      { groupId: 1, version: 3 },
    ]);
    await turns();
    expect([rollout.sampler.stats.sampledTokens, wanted]).toEqual([0, [2]]);
    rollout.sampler.policyVersion = 2;
    arrive();
    await board.whenGiven(1);
    expect(board.given[0]).toMatchObject({
      groupId: 0,
      sessions: [{ completions: [{ policyVersions: [2, 2] }] }, {}],
    });
    await turns();
    expect(wanted).toEqual([2, 3]);
    arrive();
    expect(await rejectionOf(playing)).toBe("state_conflict");
    expect(board.given).toHaveLength(1);
  });

  it("without anybody who knows of weights, begins such a group when it plays again", async () => {
    const { board, player, rollout, stop } = playerOf();
    const early = new AbortController();
    const playing = player.play(early.signal);
    board.tell([{ version: 4 }]);
    await turns();
    early.abort();
    await playing;
    expect([player.size, rollout.sampler.stats.sampledTokens]).toEqual([1, 0]);
    rollout.sampler.policyVersion = 5;
    const again = player.play(stop.signal);
    await board.whenGiven(1);
    expect(board.given[0]?.sessions[0]?.completions[0]?.policyVersions).toEqual([5, 5]);
    stop.abort();
    await again;
  });

  it("ends where a group is refused, and tries again where a connection fails", async () => {
    const { board, player, stop } = playerOf({ retryMs: 1 });
    const playing = player.play(stop.signal);
    board.refusal = new Error("socket hang up");
    board.tell([{}]);
    await board.whenGiven(1);
    await turns();
    const refusal = {
      code: "argument_invalid",
      what: "another task.",
      fix: "use one config",
    } as const;
    board.refusal = new ForgeError(refusal);
    board.tell([{ groupId: 1 }]);
    expect(await rejectionOf(playing)).toBe("argument_invalid");
  });

  it("ends where a reward throws", async () => {
    const environment = counting({
      rewards: {
        one: () => {
          throw new Error("no such column");
        },
      },
    });
    const { board, player, stop } = playerOf({ environment });
    const playing = player.play(stop.signal);
    board.tell([{}]);
    expect((await errorOf(playing)).message).toContain("no such column");
  });

  it("says what an agent threw, in a line", async () => {
    const environment = counting({
      isPure: true,
      play: async ({ policy }) => {
        await policy.generate({ prompt: "ab" });
        throw new Error("the tool is gone\n  at home");
      },
    });
    const { board, player, stop } = playerOf({ environment });
    const playing = player.play(stop.signal);
    board.tell([{}]);
    await board.whenGiven(1);
    expect(board.given[0]).toMatchObject({
      agentError: "the tool is gone",
      sessions: [{ status: "agent_error" }, { status: "agent_error" }],
    });
    stop.abort();
    await playing;
  });

  it("gives what there is of a group whose time is over", async () => {
    const environment = counting({
      isPure: true,
      play: async ({ policy, seed }) => {
        await policy.generate({ prompt: "ab" });
        // some never end
        while (seed % 2 === 0) await policy.generate({ prompt: "ab", maxTokens: 1 });
      },
    });
    // in readbacks
    const { board, player, stop } = playerOf({ environment, groupTimeout: 30, groups: 4 });
    const playing = player.play(stop.signal);
    board.tell([0, 1, 2, 3].map((groupId) => ({ groupId })));
    await board.whenGiven(4);
    const statuses = board.given.flatMap(({ sessions }) => sessions.map(({ status }) => status));
    expect(statuses).toContain("cancelled");
    expect(statuses.some((status) => status !== "cancelled")).toBe(true);
    stop.abort();
    await playing;
  });

  it("plays once at a time", async () => {
    const { player, stop } = playerOf();
    const playing = player.play(stop.signal);
    expect(await rejectionOf(player.play(stop.signal))).toBe("state_conflict");
    stop.abort();
    await playing;
    await player.play(stop.signal);
  });
});
