/** Groups that are played by others than the trainer. */
import { beforeAll, describe, expect, it } from "vitest";
import { type CausalLM, createModel, type Device } from "../../../engine/index.ts";
import { ManualClock } from "../../../src/pool/clock.ts";
import { forge } from "../../../src/rl/algorithm/forge.ts";
import { JobBoard } from "../../../src/train/cluster/job-board.ts";
import type { JobSource } from "../../../src/train/cluster/job-source.ts";
import { Player, type PlayerOptions } from "../../../src/train/cluster/player.ts";
import type { Verdict } from "../../../src/train/episode/dispatcher.ts";
import { nextTask } from "../../../src/train/episode/request-desk.ts";
import { Rollout } from "../../../src/train/episode/rollout.ts";
import { Learner } from "../../../src/train/learner/learner.ts";
import { newTokenizer } from "../../../src/train/policy/new-tokenizer.ts";
import { type StepReport, Trainer } from "../../../src/train/trainer.ts";
import { ALPHABET, environment } from "../../support/branching-environment.ts";
import { device, randoms } from "../../support/gpu.ts";
import { sourceOf } from "../../support/job-source.ts";
import { parameterValues } from "../../support/training.ts";

const { tokenizer } = newTokenizer({ kind: "characters", alphabet: ALPHABET, chat: false });
const [LENGTH, SLOTS, STEPS, LEASE] = [32, 4, 3, 1000];
const PLAY = { environment, sampling: { length: LENGTH }, groupSize: 3, seed: 5 };

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

function rolloutOf(model: CausalLM): Rollout {
  const options = { device: gpu, model, tokenizer, length: LENGTH };
  return new Rollout({ ...options, batch: 8, isDeterministic: true });
}

/** A player, and what it samples with. */
interface Node {
  readonly player: Player<string>;
  readonly rollout: Rollout;
}

/** Players of a cluster in which all share one model. */
class Players {
  readonly clock = new ManualClock();
  readonly board = new JobBoard({ clock: this.clock, leaseMs: LEASE });
  readonly #model: CausalLM;
  readonly #nodes: Node[] = [];
  readonly #playing: Promise<unknown>[] = [];
  readonly #stop = new AbortController();

  constructor(model: CausalLM) {
    this.#model = model;
  }

  make(name: string, options: Partial<PlayerOptions<string>> = {}): Node {
    const rollout = rolloutOf(this.#model);
    const player = new Player<string>({
      ...{ ...PLAY, rollout, groups: 2, source: sourceOf(this.board, name) },
      whenVersion: async (version) => {
        rollout.sampler.policyVersion = version;
      },
      ...options,
    });
    this.#nodes.push({ player, rollout });
    return { player, rollout };
  }

  /** Has somebody play until all is over. */
  start(
    name: string,
    options: Partial<PlayerOptions<string>> = {},
    play: (node: Node, until: AbortSignal) => Promise<void> = ({ player }, until) =>
      player.play(until),
  ): void {
    this.#playing.push(play(this.make(name, options), this.#stop.signal));
  }

  /** A lease goes by, in which those who are there ask again. */
  async pass(): Promise<void> {
    for (let third = 0; third < 4; third++) {
      this.clock.advanceTo(this.clock.now() + LEASE / 3);
      for (let turn = 0; turn < 10; turn++) await nextTask();
    }
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#playing);
    for (const { player, rollout } of this.#nodes) {
      await player.close();
      await rollout.close();
    }
    this.board[Symbol.dispose]();
  }
}

interface Run {
  readonly reports: readonly StepReport[];
  readonly weights: readonly Float32Array[];
  readonly sampled: number;
}

/** A few steps, with others that play or without. */
async function run(
  localGroups?: number,
  withPlayers?: (players: Players, local: Rollout) => void,
): Promise<Run> {
  using model = createModel({
    ...{ layers: 2, width: 32, heads: 4, mlpWidth: 48, seed: 3 },
    ...{ vocab: tokenizer.vocabSize, maxDepth: LENGTH },
  });
  const rollout = rolloutOf(model);
  const optimizer = { lr: 1e-2, betas: [0.9, 0.95], eps: 1e-15 } as const;
  const algorithm = forge();
  using learner = new Learner({ device: gpu, model, algorithm, optimizer, tokenBudget: 512 });
  const players = new Players(model);
  const trainer = new Trainer<string>({
    ...{ ...PLAY, rollout, learner, poolCapacityTokens: 100 },
    reward: { process: 0.1, speed: 0, truncated: "score" },
    scheduler: { slots: SLOTS, groupsPerStep: SLOTS, window: "strict" },
    ...(localGroups !== undefined && { elsewhere: players.board, localGroups: () => localGroups }),
  });
  withPlayers?.(players, rollout);
  const reports: StepReport[] = [];
  for (let step = 0; step < STEPS; step++) reports.push(await trainer.step());
  await players.close();
  await trainer.close();
  const weights = await parameterValues(model);
  await rollout.close();
  const sampled = reports.reduce((sum, { sampledTokens }) => sum + sampledTokens, 0);
  return { reports, weights, sampled };
}

/** All that was played, less when. */
function episodesOf({ reports }: Run): unknown {
  return reports.flatMap(({ episodes }) =>
    episodes.map(({ session, completions, reward, components }) => [
      [session.sessionId, session.taskId, session.status, session.details, reward, components],
      completions.map(({ submittedAt: _, finishedAt: __, ...completion }) => completion),
    ]),
  );
}

let alone: Run;
beforeAll(async () => {
  alone = await run();
});

describe("a trainer whose groups are played by others", () => {
  it.each([0, 1])("and %i at a time by itself, takes the very same steps", async (localGroups) => {
    let board: JobBoard | undefined;
    const spread = await run(localGroups, (players) => {
      ({ board } = players);
      for (const name of ["a", "b"]) players.start(name);
    });
    expect(episodesOf(spread)).toEqual(episodesOf(alone));
    expect(spread.weights).toEqual(alone.weights);
    expect(spread.sampled).toBe(alone.sampled);
    const { players, out } = (board as JobBoard).stats;
    expect([out, players.map(({ lost }) => lost)]).toEqual([0, [0, 0]]);
    for (const { played } of players) expect(played).toBeGreaterThan(0);
    const all = players.reduce((sum, { played }) => sum + played, 0);
    if (localGroups === 0) expect(all).toBe(SLOTS * STEPS);
    else expect(all).toBeLessThan(SLOTS * STEPS);
  });

  it.each([0, 1])(
    "and %i by itself, loses nothing when one dies in the middle",
    async (localGroups) => {
      const death = new AbortController();
      let passed: Promise<void> | undefined;
      let lost: number | undefined;
      const spread = await run(localGroups, (players) => {
        const real = sourceOf(players.board, "a");
        const source: JobSource = {
          take: (request, signal) => real.take(request, signal),
          // its first result does not get out, and it says nothing more
          give: () => {
            death.abort();
            passed ??= players.pass().then(() => {
              lost = players.board.stats.players.find(({ name }) => name === "a")?.lost;
            });
            return new Promise(() => {});
          },
        };
        players.start("a", { source }, ({ player }) => player.play(death.signal));
        players.start("b", { groups: 1 });
      });
      await passed;
      expect(lost).toBe(2);
      expect(episodesOf(spread)).toEqual(episodesOf(alone));
      expect(spread.weights).toEqual(alone.weights);
      expect(spread.sampled).toBe(alone.sampled);
    },
  );

  it("takes results that come after their lease, in the place of what it has begun itself", async () => {
    const results: (() => Promise<Verdict>)[] = [];
    const verdicts: Verdict[] = [];
    const silence = new AbortController();
    const spread = await run(1, (players, local) => {
      const real = sourceOf(players.board, "a");
      const give: JobSource["give"] = async (...given) => {
        results.push(() => real.give(...given));
        if (results.length === SLOTS - 1) {
          silence.abort();
          void players.pass();
        }
        return "taken";
      };
      const turn = local.turn.bind(local);
      let turns = 0;
      local.turn = async (signal) => {
        await turn(signal);
        // in the middle of what was begun here
        const isLate = players.board.stats.players[0]?.isHere === false;
        const result = isLate && ++turns % 3 === 0 ? results.shift() : undefined;
        if (result) verdicts.push(await result());
      };
      players.start("a", { source: { take: real.take, give }, groups: SLOTS - 1 }, ({ player }) =>
        player.play(silence.signal),
      );
    });
    expect(verdicts).toContain("taken");
    expect(spread.sampled).toBeGreaterThan(alone.sampled);
    expect(episodesOf(spread)).toEqual(episodesOf(alone));
    expect(spread.weights).toEqual(alone.weights);
  });

  it("takes no notice of answers and results that are lost on their way", async () => {
    const random = randoms(7);
    let failures = 0;
    const fail = (): void => {
      if (random.next() < 0.6) return;
      failures++;
      throw new Error("socket hang up");
    };
    const spread = await run(0, (players) => {
      for (const name of ["a", "b"]) {
        const real = sourceOf(players.board, name);
        players.start(name, {
          retryMs: 1,
          source: {
            take: async (...given) => {
              fail();
              const taken = await real.take(...given);
              fail();
              return taken;
            },
            give: async (...given) => {
              fail();
              const verdict = await real.give(...given);
              fail();
              return verdict;
            },
          },
        });
      }
    });
    expect(failures).toBeGreaterThan(5);
    expect(episodesOf(spread)).toEqual(episodesOf(alone));
    expect(spread.weights).toEqual(alone.weights);
  });

  it("goes on where a player was stopped in the middle of its episodes", async () => {
    const stops: number[] = [];
    const spread = await run(0, (players) => {
      players.start("a", { groups: SLOTS }, async ({ player, rollout }, until) => {
        while (!until.aborted) {
          const stop = new AbortController();
          const turn = rollout.turn.bind(rollout);
          let left = 3;
          rollout.turn = async (signal) => {
            await turn(signal);
            if (--left === 0) stop.abort();
          };
          await player.play(AbortSignal.any([until, stop.signal]));
          rollout.turn = turn;
          stops.push(player.size);
        }
      });
    });
    // groups were under way at the stops
    expect(stops.filter((size) => size > 0).length).toBeGreaterThan(2 * STEPS);
    expect(episodesOf(spread)).toEqual(episodesOf(alone));
    expect(spread.weights).toEqual(alone.weights);
  });
});
