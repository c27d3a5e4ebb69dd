import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { ForgeError } from "../../../engine/error.ts";
import { defineEnvironment } from "../../../src/agent/define-environment.ts";
import { grpo } from "../../../src/rl/algorithm/grpo.ts";
import { algorithmOf } from "../../../src/train/config/algorithm-section.ts";
import { configWarnings } from "../../../src/train/config/cross-checks.ts";
import { applyOverrides } from "../../../src/train/config/overrides.ts";
import { defineConfig, parseConfig } from "../../../src/train/config/parse.ts";
import { printConfig } from "../../../src/train/config/print.ts";
import type { TrainConfig } from "../../../src/train/config/types.ts";

const BASE = { environment: "./env.ts", model: { directory: "./model" } } as const;
const SMALL = { layers: 2, width: 64, heads: 4 } as const;

/** The lines of the problems that an attempt fails with. */
function problemsIn(attempt: () => unknown): string[] {
  try {
    attempt();
  } catch (error) {
    expect(error).toBeInstanceOf(ForgeError);
    expect((error as ForgeError).code).toBe("config_invalid");
    const [, got = ""] = (error as Error).message.split("\n  got  ");
    return String(got.split("\n  fix  ")[0]).split(/\n +/);
  }
  return [];
}

const problemsOf = (value: unknown): string[] => problemsIn(() => parseConfig(value));

const withSection = (section: string, keys: unknown): string[] =>
  problemsOf({ ...BASE, [section]: keys });

describe("parseConfig", () => {
  it("has the defaults of the field", () => {
    const config = parseConfig(BASE, { name: "first" });
    expect(config).toMatchObject({
      name: "first",
      method: "rl",
      algorithm: { name: "forge" },
      reward: { process: 0.1, speed: 0.1, truncated: "mask" },
      rollout: { groupSize: 8, groupsPerStep: 8, slots: 16, window: 0.3, temperature: 1 },
      optimizer: { lr: 1e-6, betas: [0.9, 0.95], eps: 1e-15, maxGradNorm: 1 },
    });
    expect(configWarnings(config)).toEqual([]);
  });

  it("lets keys follow from others", () => {
    const config = parseConfig({
      environment: "./env.ts",
      model: { create: SMALL },
      rollout: { groupsPerStep: 3, batch: 5, repetition: {} },
      optimizer: { lr: 0.01 },
    });
    expect(config.rollout).toMatchObject({ slots: 6, cacheSlots: 5 });
    expect(config.rollout.repetition).toEqual({ count: 3000, probability: 0.99 });
    expect(config.optimizer.criticLr).toBe(0.01);
    expect(config.model.create).toMatchObject({ kvHeads: 4, mlpWidth: 256 });
  });

  it.each([
    [{ seeds: 1 }, "seeds: no such key; did you mean seed?"],
    [{ rolout: {} }, "rolout: no such key; did you mean rollout?"],
    [
      { rollout: { groupsize: 4 } },
      "rollout.groupsize: no such key; did you mean rollout.groupSize?",
    ],
    [
      { rollout: { group_size: 4 } },
      "rollout.group_size: no such key; did you mean rollout.groupSize?",
    ],
    [
      { rollout: { gruopSize: 4 } },
      "rollout.gruopSize: no such key; did you mean rollout.groupSize?",
    ],
    [{ groupSize: 4 }, "groupSize: no such key; did you mean rollout.groupSize?"],
    [
      { train: { warmupSteps: 4 } },
      "train.warmupSteps: no such key; did you mean optimizer.warmupSteps?",
    ],
    [
      { train: { dpo: { betta: 4 } } },
      "train.dpo.betta: no such key; did you mean train.dpo.beta?",
    ],
    [
      { rollout: { repetition: { cuont: 4 } } },
      "rollout.repetition.cuont: no such key; did you mean rollout.repetition.count?",
    ],
    [
      { run: { xyzzy: 1 } },
      "run.xyzzy: no such key; there are directory, tensorboard, rolloutsEvery",
    ],
    [{ method: "rll" }, 'method: expected rl, sft or dpo, got "rll"; did you mean rl?'],
    [
      { algorithm: { name: "DRGRPO" } },
      /^algorithm\.name: .*got "DRGRPO"; did you mean dr_grpo\?$/,
    ],
    [{ model: { create: { ...SMALL, family: "qwen-3" } } }, /did you mean qwen3\?$/],
  ])("names the key or word that %j was to be", (extra, problem) => {
    expect(problemsOf({ ...BASE, ...extra })).toEqual([
      typeof problem === "string" ? problem : expect.stringMatching(problem),
    ]);
  });

  it.each([
    ["rollout", { groupSize: "8" }, 'rollout.groupSize: expected whole number from 1, got "8"'],
    ["rollout", { groupSize: 2.5 }, "rollout.groupSize: expected whole number from 1, got 2.5"],
    ["rollout", { window: 1.5 }, /^rollout\.window: expected whole number from 1, number between/],
    ["rollout", { window: "loose" }, /^rollout\.window: .*got "loose"/],
    [
      "rollout",
      { repetition: 3 },
      /^rollout\.repetition: expected section with count .*, or null, got 3/,
    ],
    ["rollout", [], /^rollout: expected section of groupSize, .*, got \[\]/],
    ["optimizer", { lr: Number.NaN }, "optimizer.lr: expected number above 0, got NaN"],
    ["optimizer", { betas: [0.9] }, /^optimizer\.betas: expected two numbers/],
    [
      "optimizer",
      { betas: [0.9, 1] },
      "optimizer.betas.1: expected number from 0 to below 1, got 1",
    ],
    ["reward", { weights: { a: "x" } }, 'reward.weights.a: expected number, got "x"'],
    ["run", { tensorboard: "yes" }, 'run.tensorboard: expected true or false, got "yes"'],
    ["environment", { name: "x" }, /^environment: expected path of a module .*got \{"name":"x"\}/],
    ["algorithm", "grpo", 'algorithm: expected section with a name, got "grpo"'],
    ["algorithm", { name: "grpo", epochs: 0 }, /^algorithm: grpo: epochs .*got 0/],
    ["algorithm", { name: "grpo", raitoCap: 5 }, /^algorithm: grpo: .*raitoCap/],
    ["name", "a/b", 'name: expected name of a folder, got "a/b"'],
    ["name", "..", 'name: expected name of a folder, got ".."'],
    [
      "model",
      { create: { layers: 1, width: 8 } },
      "model.create.heads: missing; expected whole number from 1",
    ],
    [
      "model",
      { create: { ...SMALL, tokenizer: { kind: "byte" } } },
      'model.create.tokenizer.kind: expected bytes, characters or directory, got "byte"; did you mean bytes?',
    ],
    ["seed", 1n, "seed: expected whole number from 0, got 1n"],
    ["seed", () => 1, "seed: expected whole number from 0, got a function"],
  ])("says what %s takes instead of %o", (section, value, problem) => {
    expect(withSection(section, value)).toEqual([
      typeof problem === "string" ? problem : expect.stringMatching(problem),
    ]);
  });

  it.each([
    [{ environment: null }, "environment: rl needs an environment"],
    [{ method: "sft", environment: null }, /^data: sft needs data/],
    [{ method: "dpo" }, "data: dpo needs pairs"],
    [{ method: "dpo", data: "d", train: { reference: "none" } }, /^train\.reference: dpo/],
    [{ method: "sft", train: { warmStart: {} } }, /^train\.warmStart: only rl/],
    [{ model: {} }, /^model: needs directory/],
    [{ model: { directory: "m", create: SMALL } }, /^model\.create: there is a directory too/],
    [
      { model: { create: { ...SMALL, heads: 5 } } },
      "model.create.heads: must divide width 64, got 5",
    ],
    [
      { model: { create: { ...SMALL, kvHeads: 3 } } },
      "model.create.kvHeads: must divide heads 4, got 3",
    ],
    [
      { model: { create: { ...SMALL, tokenizer: { kind: "characters", alphabet: "aba" } } } },
      /^model\.create\.tokenizer\.alphabet: each character/,
    ],
    [
      { model: { directory: "m", weightDtype: "bf16" } },
      /^model\.weightDtype: optimizers train f32/,
    ],
    [{ rollout: { slots: 7 } }, "rollout.slots: must be groupsPerStep 8 or more, got 7"],
    [{ rollout: { window: 17 } }, "rollout.window: must be slots 16 or less, got 17"],
    [{ rollout: { cacheSlots: 4 } }, "rollout.cacheSlots: must be batch 8 or more, got 4"],
    [
      { rollout: { length: 64, maxTokens: 64 } },
      "rollout.maxTokens: must be below length 64, got 64",
    ],
    [{ rollout: { temperature: 0 } }, /^rollout\.temperature: at 0/],
    [{ optimizer: { warmupSteps: 101 } }, /^optimizer\.warmupSteps: must be train\.steps 100/],
    [{ optimizer: { schedule: "linear", finalLr: 1 } }, /^optimizer\.finalLr: must be lr/],
    [{ eval: { samples: 4 } }, /^eval\.samples: at temperature 0/],
    [{ eval: { every: 0 }, checkpoint: { best: "eval/pass_at_1" } }, /^checkpoint\.best: /],
  ])("finds the contradiction in %j", (extra, problem) => {
    expect(problemsOf({ ...BASE, ...extra })).toEqual([
      typeof problem === "string" ? problem : expect.stringMatching(problem),
    ]);
  });

  it("tells all that is wrong at once", () => {
    expect(problemsOf({ sed: 1, rollout: { batch: 0, sluts: 2 }, method: 4 })).toHaveLength(4);
    expect(problemsOf({ method: "dpo", rollout: { slots: 1 } })).toHaveLength(3);
  });

  it.each([undefined, null, 3, "x", [], () => 1])("refuses %o as a whole", (value) => {
    expect(problemsOf(value)).toEqual([expect.stringMatching(/^expected sections and keys/)]);
  });

  it("warns of what is allowed and seldom meant", () => {
    const odd = { rollout: { minP: 0.1, groupSize: 1 }, checkpoint: { every: 0 } };
    expect(configWarnings(parseConfig({ ...BASE, ...odd }))).toHaveLength(3);
  });
});

describe("algorithmOf", () => {
  it("makes the algorithm that is named, with its options", () => {
    const { algorithm } = parseConfig({ ...BASE, algorithm: { name: "grpo", epochs: 3 } });
    expect(algorithmOf(algorithm)).toMatchObject({ name: "grpo", epochs: 3 });
  });

  it("takes one that is an object", () => {
    const own = { ...grpo(), name: "mine" };
    const { algorithm } = parseConfig(defineConfig({ ...BASE, algorithm: own }));
    expect(algorithmOf(algorithm)).toEqual(own);
  });
});

describe("applyOverrides", () => {
  const value = { ...BASE, rollout: { batch: 2 } };

  it.each([
    ["seed=7", { seed: 7 }],
    ["method=sft", { method: "sft" }],
    ["rollout.window=strict", { rollout: { batch: 2, window: "strict" } }],
    ["run.tensorboard=false", { run: { tensorboard: false } }],
    ["optimizer.lr=1e-4", { optimizer: { lr: 1e-4 } }],
    ["optimizer.betas.1=0.99", { optimizer: { betas: [0.9, 0.99] } }],
    ["model.lora={rank: 4}", { model: { directory: "./model", lora: { rank: 4 } } }],
    [
      "model.lora.targets.0=q_proj",
      { model: { directory: "./model", lora: { targets: { 0: "q_proj" } } } },
    ],
    ["rollout.maxTokens=", { rollout: { batch: 2, maxTokens: null } }],
    ["reward.weights.right=0.5", { reward: { weights: { right: 0.5 } } }],
    ["algorithm.ratioCap=2", { algorithm: { name: "forge", ratioCap: 2 } }],
    ["algorithm.kl.coefficient=2", { algorithm: { name: "forge", kl: { coefficient: 2 } } }],
    ["checkpoint.best=eval/a=b", { checkpoint: { best: "eval/a=b" } }],
  ])("sets %s", (override, changed) => {
    expect(applyOverrides(value, [override])).toEqual({ ...value, ...changed });
    expect(value).toEqual({ ...BASE, rollout: { batch: 2 } });
  });

  it.each([
    ["rollout.bach=1", "rollout.bach: no such key; did you mean rollout.batch?"],
    ["groupSize=1", "groupSize: no such key; did you mean rollout.groupSize?"],
    ["seed.deep=1", "seed.deep: no such key"],
    ["environment.name=x", /^environment\.name: no such key/],
    ["optimizer.betas.2=1", /^optimizer\.betas\.2: no such key/],
    ["reward.weights.__proto__=1", /^reward\.weights\.__proto__: no such key/],
    ["constructor=1", /^constructor: no such key/],
    ["seed=[1", /^seed: the value is no YAML: /],
    ["seed=*nobody", /^seed: the value is no YAML: /],
    ["seed", /^expected a key and a value/],
    ["=1", /^expected a key and a value/],
    ["rollout..batch=1", /^expected a key and a value/],
  ])("refuses %s", (override, problem) => {
    expect(problemsIn(() => applyOverrides(value, [override]))).toEqual([
      typeof problem === "string" ? problem : expect.stringMatching(problem),
    ]);
  });

  it("leaves a section that is none for the check to find", () => {
    const read = applyOverrides({ ...BASE, rollout: 5 }, ["rollout.batch=1"]);
    expect(problemsOf(read)).toEqual([expect.stringMatching(/^rollout: .*got 5$/)]);
  });

  it("makes no hole in a list", () => {
    const lora = { model: { directory: "m", lora: { targets: ["q_proj"] } }, environment: "e" };
    const read = applyOverrides(lora, ["model.lora.targets.4000000000=v_proj"]);
    expect(parseConfig(read).model.lora?.targets).toEqual(["q_proj", "v_proj"]);
  });

  const key = fc.constantFrom(
    ...[
      "rollout",
      "model",
      "create",
      "lora",
      "targets",
      "optimizer",
      "betas",
      "reward",
      "weights",
      "algorithm",
      "environment",
    ],
    ...[
      "name",
      "seed",
      "window",
      "repetition",
      "tokenizer",
      "kind",
      "alphabet",
      "0",
      "1",
      "-1",
      "__proto__",
      "toString",
      "",
    ],
  );
  const text = fc.oneof(
    fc.constantFrom(
      "1",
      "null",
      "{}",
      "[]",
      "[1, 2]",
      "{a: 1}",
      "yes",
      "!!x y",
      "&a [*a]",
      "|",
      "- 1",
      "1e999",
      ".nan",
      "0x1",
    ),
    fc.string(),
  );

  it("never fails but by an error that says why", () => {
    const override = fc.oneof(
      fc
        .tuple(fc.array(key, { minLength: 1, maxLength: 5 }), text)
        .map(([p, v]) => `${p.join(".")}=${v}`),
      fc.string(),
    );
    fc.assert(
      fc.property(fc.array(override, { maxLength: 4 }), (overrides) => {
        try {
          parseConfig(applyOverrides(BASE, overrides));
        } catch (error) {
          expect(error).toBeInstanceOf(ForgeError);
        }
      }),
      { numRuns: 400 },
    );
  });
});

describe("printConfig", () => {
  const share = fc.double({ min: 1e-9, max: 0.999, noNaN: true });
  const positive = fc.double({ min: 1e-300, max: 1e300, noNaN: true });
  const count = fc.integer({ min: 1, max: 1 << 30 });
  const words = fc.string({ minLength: 1, unit: "binary" });
  const config: fc.Arbitrary<unknown> = fc.record(
    {
      name: words.filter((name) => !/[/\\\0]|^\.+$/.test(name)),
      seed: fc.nat(),
      environment: words,
      data: fc.option(words),
      model: fc.oneof(
        fc.record({
          directory: words,
          lora: fc.option(
            fc.record({
              rank: count,
              alpha: positive,
              targets: fc.option(fc.array(words, { minLength: 1 })),
            }),
          ),
        }),
        fc.record({
          create: fc.record({
            layers: count,
            width: fc.constant(12),
            heads: fc.constantFrom(1, 2, 3),
            tokenizer: fc.oneof(
              fc.constant({ kind: "bytes" as const }),
              fc.record({ kind: fc.constant("directory" as const), directory: words }),
            ),
          }),
        }),
      ),
      algorithm: fc.constantFrom(
        { name: "forge", gamma: 0.5 },
        { name: "grpo", loss: { form: "clip", low: 0.2, high: 0.3 } },
      ),
      reward: fc.record({
        weights: fc.dictionary(words, positive, { noNullPrototype: true }),
        process: share,
      }),
      rollout: fc.record({
        groupSize: count,
        window: fc.constantFrom(0.25, 3, "strict" as const, "greedy" as const),
        repetition: fc.option(fc.constant({})),
        deterministic: fc.constantFrom("auto" as const, true, false),
        topP: share,
      }),
      optimizer: fc.record({
        lr: positive,
        betas: fc.tuple(share, share),
        eps: positive,
        maxGradNorm: fc.option(positive),
      }),
      train: fc.record({ steps: count, warmStart: fc.option(fc.record({ lr: positive })) }),
      checkpoint: fc.record({ best: fc.option(words) }),
    },
    { requiredKeys: ["environment", "model"] },
  );

  it("prints what is parsed as the same configuration", () => {
    fc.assert(
      fc.property(config, (input) => {
        const resolved = parseConfig(input);
        expect(parseConfig(parse(printConfig(resolved)))).toEqual(resolved);
      }),
      { numRuns: 60 },
    );
  });

  it("has every key, with what it means and its default above it", () => {
    const text = printConfig(parseConfig(BASE));
    expect(text).toContain(
      "\n  # Episodes of a group: plays of one task. (whole number from 1; default 8)\n  groupSize: 8\n",
    );
    expect(text.split("\n").every((line) => line.length <= 102)).toBe(true);
  });

  it("leaves objects as comments", () => {
    const environment = defineEnvironment({
      name: "words",
      tasks: { train: [1] },
      prompt: String,
      rewards: { any: () => 1 },
    });
    const resolved: TrainConfig = parseConfig(
      defineConfig({ ...BASE, environment, algorithm: grpo() }),
    );
    const text = printConfig(resolved);
    expect(text).toContain('# environment: the object "words" of the configuration\'s module');
    expect(text).toContain('# algorithm: the object "grpo" of the configuration\'s module');
    expect(parseConfig({ ...parse(text), environment, algorithm: grpo() }).rollout).toEqual(
      resolved.rollout,
    );
  });
});
