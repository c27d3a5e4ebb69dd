/** What goes wrong in a run, and what the run makes of it. */
import { spawnSync } from "node:child_process";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { ForgeError } from "../../../engine/error.ts";
import { defineEnvironment } from "../../../src/agent/define-environment.ts";
import type { Environment } from "../../../src/agent/environment.ts";
import type { TrainConfigInput } from "../../../src/train/config/types.ts";
import { nextTask } from "../../../src/train/episode/request-desk.ts";
import { ALPHABET } from "../../support/branching-environment.ts";
import { errorOf } from "../../support/errors.ts";
import { NotedView, trainHere } from "../../support/train-here.ts";
import { bitsOf, linesOf, stepsOf, tinyConfig, useFolder } from "../../support/training-run.ts";

const folder = useFolder("faults");

/** The `ForgeError` that a run ends with. */
async function failureOf(run: Promise<unknown>): Promise<ForgeError> {
  const error = await errorOf(run);
  expect(error).toBeInstanceOf(ForgeError);
  return error as ForgeError;
}

type Definition = Parameters<typeof defineEnvironment<number>>[0];

/** One request an episode; what is given goes in the place of the rest. */
function counting(given: Partial<Definition> = {}): Environment<number> {
  return defineEnvironment<number>({
    name: "counting",
    tasks: { train: (index) => index },
    ...(given.play === undefined && { prompt: () => "ab>" }),
    maxTokens: 4,
    rewards: { share: ({ replies }) => share(replies[0]?.ids ?? []) },
    ...given,
  });
}

/** Almost never the same for two answers. */
function share(ids: readonly number[]): number {
  return ids.reduce((sum, id, i) => sum + id / (ALPHABET.length + 2) ** (i + 1), 0);
}

function config(given: TrainConfigInput = {}): TrainConfigInput {
  const { environment: _, ...rest } = tinyConfig({ ...given, eval: { every: 0 } });
  return { ...rest, reward: { truncated: "score", speed: 0 } };
}

/** Where the only run under a folder lies. */
function runIn(place: string): string {
  const parent = join(place, "tiny");
  return join(parent, readdirSync(parent).sort().at(-1) as string);
}

describe("a disk that fails", () => {
  it("while a checkpoint is written: is said, and the next one is written", async () => {
    const place = join(folder, "refuses");
    const view = new NotedView();
    const aside = join(place, "aside");
    let checkpoints = "";
    view.onPhase = (phase) => {
      if (phase !== "saving checkpoint 2") return;
      checkpoints = join(runIn(place), "checkpoints");
      renameSync(checkpoints, aside);
      writeFileSync(checkpoints, "");
    };
    view.onWarning = (text) => {
      if (!text.startsWith("the checkpoint of step 2")) return;
      rmSync(checkpoints);
      renameSync(aside, checkpoints);
    };
    const { ended, directory } = await trainHere(
      place,
      { ...config({ train: { steps: 4 } }), environment: counting() },
      { view },
    );
    expect(ended).toBe("done");
    expect(view.warnings.join()).toContain("[run_directory_unwritable]");
    expect(stepsOf(directory)).toEqual(["step-000004"]);
    expect(linesOf(join(directory, "metrics.jsonl")).map(({ step }) => step)).toEqual([1, 2, 3, 4]);
  });

  it("at the end: is an error", async () => {
    const place = join(folder, "refuses-last");
    const view = new NotedView();
    view.onPhase = (phase) => {
      if (phase !== "saving checkpoint 2") return;
      const checkpoints = join(runIn(place), "checkpoints");
      rmSync(checkpoints, { recursive: true });
      writeFileSync(checkpoints, "");
    };
    const run = trainHere(
      place,
      { ...config({ train: { steps: 2 } }), environment: counting() },
      { view },
    );
    expect((await failureOf(run)).code).toBe("run_directory_unwritable");
  });

  const small = join(folder, "small");
  mkdirSync(small);
  const mount = (): boolean =>
    process.platform === "linux" &&
    spawnSync("mount", ["-t", "tmpfs", "-o", "size=2m", "none", small]).status === 0;
  const unmount = (): unknown => spawnSync("umount", ["-l", small]);
  const canMount = mount();
  if (canMount) unmount();

  it.skipIf(!canMount)(
    `by being full: is said, and the next checkpoint is written${canMount ? "" : " (skipped: this user may not mount)"}`,
    async () => {
      expect(mount()).toBe(true);
      onTestFinished(() => void unmount());
      const filler = join(small, "filler");
      const view = new NotedView();
      view.onPhase = (phase) => {
        if (phase !== "saving checkpoint 2") return;
        // metrics.jsonl has the rest of its page
        try {
          for (;;) appendFileSync(filler, Buffer.alloc(1 << 14));
        } catch {}
      };
      view.onWarning = (text) => {
        if (text.startsWith("the checkpoint of step 2")) rmSync(filler);
      };
      const { directory } = await trainHere(
        small,
        { ...config({ train: { steps: 4 } }), environment: counting() },
        { view },
      );
      expect(view.warnings.join()).toContain("[disk_full]");
      expect(stepsOf(directory)).toEqual(["step-000004"]);
    },
  );
});

describe("checkpoints that are damaged", () => {
  const damage = (run: string, step: string): void =>
    appendFileSync(join(run, "checkpoints", step, "policy.safetensors"), "x");

  it("are passed over for the one before, aloud; the run then is the one that it was", async () => {
    const whole = { ...config({ train: { steps: 5 } }), environment: counting() };
    const { directory } = await trainHere(join(folder, "damaged"), whole);
    const before = bitsOf(directory);
    expect(stepsOf(directory)).toEqual(["step-000002", "step-000004", "step-000005"]);
    damage(directory, "step-000005");
    const view = new NotedView();
    await trainHere(join(folder, "damaged"), whole, { view, resume: directory });
    expect(view.warnings.join()).toMatch(/step-000005: policy.safetensors has become longer/);
    expect(bitsOf(directory)).toEqual(before);
  });

  it("all of them: an error, and nothing is begun again", async () => {
    const place = join(folder, "all-damaged");
    const whole = { ...config({ train: { steps: 2 } }), environment: counting() };
    const { directory } = await trainHere(place, whole);
    damage(directory, "step-000002");
    const metrics = readFileSync(join(directory, "metrics.jsonl"), "utf8");
    const { code } = await failureOf(trainHere(place, whole, { resume: directory }));
    expect(code).toBe("checkpoint_invalid");
    expect(readFileSync(join(directory, "metrics.jsonl"), "utf8")).toBe(metrics);
    expect(existsSync(join(directory, ".lock"))).toBe(false);
  });
});

describe("a run that goes back to an older checkpoint", () => {
  it("removes later ones, and what later steps said: they are gone on to anew", async () => {
    const place = join(folder, "back");
    const whole = {
      ...config({ train: { steps: 6 }, checkpoint: { every: 2, keep: 9, best: "reward/mean" } }),
      environment: counting(),
    };
    const { directory } = await trainHere(place, whole);
    const before = bitsOf(directory);
    const all = stepsOf(directory);
    const view = new NotedView();
    const resume = join(directory, "checkpoints", "step-000002");
    const shorter = { ...whole, train: { ...whole.train, steps: 3 } };
    await trainHere(place, shorter, { view, resume });
    expect(view.warnings.join()).toContain("later checkpoints are removed: steps 6");
    expect(stepsOf(directory).at(-1)).toBe("step-000003");
    expect(linesOf(join(directory, "metrics.jsonl")).map(({ step }) => step)).toEqual([1, 2, 3]);
    // the newest is now the one of the new future, and on policy the future is the same
    await trainHere(place, whole, { resume: directory });
    expect(bitsOf(directory)).toEqual(before);
    const resumed = JSON.parse(readFileSync(join(directory, "run.json"), "utf8")).resumed;
    expect(resumed.map(({ step }: { step: number }) => step)).toEqual([2, 3]);
    expect(stepsOf(directory)).toEqual(expect.arrayContaining(all));
  });

  it("that is done already stays as it is", async () => {
    const place = join(folder, "again");
    const whole = { ...config({ train: { steps: 2 } }), environment: counting() };
    const { directory, checkpoint } = await trainHere(place, whole);
    const again = await trainHere(place, whole, { resume: directory });
    expect({ ...again }).toMatchObject({ steps: 2, ended: "done", checkpoint });
  });
});

describe("a loss that is not finite", () => {
  it("ends the run; the batch is saved, and the weights before it are good", async () => {
    const place = join(folder, "nan");
    const environment = counting({
      // beyond f32 from the third step on
      rewards: {
        share: ({ task, replies }) => (task >= 4 ? 1e39 : 1) * share(replies[0]?.ids ?? []),
      },
    });
    const given = { ...config({ train: { steps: 6 } }), environment };
    const error = await failureOf(trainHere(place, given));
    expect(error.code).toBe("non_finite");
    const run = runIn(place);
    const failure = join(run, "failures", "step-000003");
    expect(error.message).toContain(failure);
    expect(error.message).toContain("--resume");
    const samples = linesOf(join(failure, "samples.jsonl"));
    expect(samples).toHaveLength(4);
    for (const sample of samples) {
      expect(sample["reward"]).toBeGreaterThan(1e36);
      expect(sample["responseIds"]).toHaveLength(
        (sample["rolloutLogprobs"] as readonly number[]).length,
      );
    }
    expect(stepsOf(run)).toEqual(["step-000002"]);
    const mended = { ...given, environment: counting() };
    const { ended, metrics } = await trainHere(place, mended, { resume: run });
    expect(ended).toBe("done");
    expect(metrics["losses/loss"]).toSatisfy(Number.isFinite);
  });
});

describe("an environment that fails", () => {
  it("in a reward: the run ends, and says which", async () => {
    const environment = counting({
      rewards: {
        share: () => {
          throw new Error("no such column");
        },
      },
    });
    const error = await failureOf(trainHere(join(folder, "reward"), { ...config(), environment }));
    expect(error.code).toBe("environment_failed");
    expect(error.message).toMatch(/reward "share" of environment "counting" has thrown/);
    expect(error.message).toContain("no such column");
  });

  it("by a reward that is no number: likewise, and not as a loss", async () => {
    const environment = counting({ rewards: { share: () => Number.NaN } });
    const error = await failureOf(
      trainHere(join(folder, "no-number"), { ...config(), environment }),
    );
    expect(error.code).toBe("environment_failed");
    expect(existsSync(join(runIn(join(folder, "no-number")), "failures"))).toBe(false);
  });

  it("in some episodes: they are counted, said and left out, and are never a reward of 0", async () => {
    const environment = counting({
      isPure: true,
      play: async ({ policy, seed }) => {
        await policy.generate({ prompt: "ab>" });
        if (seed % 3 === 0) throw new Error("the tool is gone");
      },
      rewards: { one: ({ replies }) => 1 + share(replies[0]?.ids ?? []) },
    });
    const view = new NotedView();
    const { directory } = await trainHere(
      join(folder, "some"),
      {
        ...config({ train: { steps: 3 }, rollout: { groupSize: 6 } }),
        environment,
      },
      { view },
    );
    const rates = [...view.steps.values()].map((metrics) => metrics["rollout/error_rate"] ?? 0);
    expect(Math.max(...rates)).toBeGreaterThan(0);
    for (const metrics of view.steps.values())
      expect(metrics["reward/min"]).toBeGreaterThanOrEqual(1);
    expect(view.warnings.join()).toContain("an agent has failed");
    expect(view.warnings.join()).toContain("the tool is gone");
    const failed = linesOf(join(directory, "rollouts.jsonl")).filter(
      ({ status }) => status === "agent_error",
    );
    expect(failed.length).toBeGreaterThan(0);
    for (const { takesPart, reward } of failed)
      expect({ takesPart, reward }).toEqual({ takesPart: false, reward: null });
  });

  it.each([true, false])(
    "in every episode: the run ends with the cause; after an answer: %s",
    async (asks) => {
      const environment = counting({
        isPure: asks,
        play: async ({ policy }) => {
          if (asks) await policy.generate({ prompt: "ab>" });
          throw new Error("no key");
        },
      });
      const error = await failureOf(
        trainHere(join(folder, `every-${asks}`), { ...config(), environment }),
      );
      expect(error.code).toBe("environment_failed");
      expect(error.message).toContain("every episode fails");
      expect(error.message).toContain("no key");
    },
  );

  it("by branches that are out of turn, though it is declared pure: they fail, aloud", async () => {
    const environment = counting({
      isPure: true,
      play: async ({ policy }) => {
        const branch = async (maxTokens: number): Promise<void> => {
          await policy.generate({ prompt: "ab>", maxTokens });
          // a few turns of the event loop, while the longer answer takes many readbacks
          for (let turn = 0; turn < 6; turn++) await nextTask();
          await policy.generate({ prompt: "cd>", maxTokens });
        };
        await Promise.all([branch(1), branch(24)]);
      },
    });
    const view = new NotedView();
    const given = config({ train: { steps: 2 }, rollout: { groupSize: 4 } });
    await trainHere(join(folder, "turn"), { ...given, environment }, { view });
    expect(view.warnings.join()).toContain("asked out of turn");
  });

  it("by asking nothing, or for more than there is room: likewise", async () => {
    for (const play of [
      async () => {},
      async ({ policy }: Parameters<Environment["play"]>[0]) =>
        policy.generate({ prompt: "ab>".repeat(20) }),
    ]) {
      const environment = counting({ isPure: true, play });
      const error = await failureOf(trainHere(join(folder, "mute"), { ...config(), environment }));
      expect(error.message).toMatch(/without asking the policy|context_exceeded/);
    }
  });
});
