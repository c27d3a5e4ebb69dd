import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { byteTokenizer, type Device } from "../../../engine/index.ts";
import { loadConfig } from "../../../src/train/config/load.ts";
import { modelSection } from "../../../src/train/config/model-section.ts";
import { openPolicy } from "../../../src/train/policy/policy.ts";
import { readMetrics } from "../../../src/train/run/run-directory.ts";
import { createTrainView } from "../../../src/train/run/train-view.ts";
import { readDemonstrations } from "../../../src/train/supervised/training-data.ts";
import { type TrainResult, train } from "../../../src/train/train.ts";
import { temporaryFolder } from "../../support/checkpoints.ts";
import { rejectionOf } from "../../support/errors.ts";
import { device } from "../../support/gpu.ts";

const folder = temporaryFolder("supervised");
const LETTERS = [..."abcdefghijkl"];

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

const MODEL = {
  create: {
    ...{ layers: 1, width: 32, heads: 2, mlpWidth: 64, maxLength: 24 },
    tokenizer: { kind: "characters", alphabet: "abcdefghijklABCDEFGHIJKL:" },
  },
};
const COMMON = {
  ...{ model: MODEL, seed: 4, run: { directory: join(folder, "runs") } },
  optimizer: { lr: 1e-2, schedule: "cosine", warmupSteps: 3 },
};

/** Answer with the letter in upper case. */
const UPPER = `import { defineEnvironment } from "forge-gpu";
const letters = ${JSON.stringify(LETTERS)};
export const environment = defineEnvironment({
  name: "upper",
  tasks: { train: letters, eval: letters },
  prompt: (letter) => letter + ":",
  maxTokens: 4,
  rewards: { right: ({ task, text }) => Number(text === task.toUpperCase()) },
  demonstration: (letter) => ({ prompt: letter + ":", response: letter.toUpperCase() }),
});
`;

/** Writes a configuration into a folder of its own. */
function saved(name: string, config: object): string {
  mkdirSync(join(folder, name), { recursive: true });
  const file = join(folder, name, `${name}.json`);
  writeFileSync(file, JSON.stringify({ ...COMMON, ...config }));
  return file;
}

function lines(name: string, rows: readonly unknown[]): string {
  const text = rows.map((row) => (typeof row === "string" ? row : JSON.stringify(row)));
  mkdirSync(join(folder, name), { recursive: true });
  writeFileSync(join(folder, name, "data.jsonl"), `${text.join("\n")}\n`);
  return "data.jsonl";
}

async function run(
  file: string,
  { resume, overrides = [] }: { resume?: string; overrides?: readonly string[] } = {},
): Promise<TrainResult> {
  const loaded = await loadConfig(file, { overrides });
  const view = createTrainView({ isQuiet: true, steps: loaded.config.train.steps });
  return train({
    ...{ loaded, device: gpu, view, version: "0", signal: new AbortController().signal },
    ...(resume !== undefined && { resume }),
  });
}

/** Everything that a checkpoint holds, and the metrics of its steps but for times. */
function outcome({ directory, checkpoint = "" }: TrainResult): unknown {
  const files = ["policy.safetensors", "optimizer.safetensors"];
  const metrics = readMetrics(directory).map(({ step, metrics }) => [
    step,
    Object.entries(metrics).filter(([name]) => !/^(time|throughput|yield)\//.test(name)),
  ]);
  return [metrics, ...files.map((name) => readFileSync(join(checkpoint, name)))];
}

const metricsOf = (result: TrainResult): Record<string, number>[] =>
  readMetrics(result.directory).map(({ metrics }) => metrics);

/** Runs all steps, and again in two parts. */
async function inTwoParts(file: string, at: number): Promise<TrainResult> {
  const whole = await run(file);
  // as if it had been killed behind the checkpoint
  const first = join(whole.directory, "checkpoints", `step-${String(at).padStart(6, "0")}`);
  const before = outcome(whole);
  const again = await run(file, { resume: first });
  expect(again.directory).toBe(whole.directory);
  expect(outcome(again)).toEqual(before);
  return again;
}

describe("sft", () => {
  it("learns what an environment demonstrates, plays its tasks, and resumes bit for bit", async () => {
    const module = join(folder, "upper", "environment.ts");
    const file = saved("upper", {
      ...{ method: "sft", environment: "./environment.ts" },
      train: { steps: 60, batch: 6 },
      ...{ eval: { every: 30 }, checkpoint: { every: 30 } },
    });
    writeFileSync(module, UPPER);
    const { before, after } = await inTwoParts(file, 30);
    expect(before?.passAt[1]).toBeLessThan(0.5);
    expect(after?.passAt[1]).toBe(1);
  });

  it("learns from lines, and measures those that it keeps back", async () => {
    const row = (letter: string): object => ({
      ...{
        prompt: `${letter}:`,
        response: letter.toUpperCase(),
        source: "other keys do not count",
      },
    });
    const data = lines("lines", [...LETTERS, ...LETTERS.slice(0, 4)].map(row));
    const file = saved("lines", {
      ...{ method: "sft", data, eval: { every: 30 }, checkpoint: { every: 30 } },
      train: { steps: 60, batch: 12, heldOut: 4 },
    });
    const metrics = metricsOf(await inTwoParts(file, 30));
    expect(metrics).toHaveLength(61);
    expect(metrics[0]?.["eval/loss"]).toBeGreaterThan(3);
    expect(metrics.at(-1)?.["eval/loss"]).toBeLessThan(0.1);
    expect(metrics[1]?.["charts/learning_rate"]).toBeCloseTo(1e-2 / 3, 12);
    // two tokens a row are trained on: the letter, and what ends it
    expect(metrics[1]).toMatchObject({ "charts/trained_tokens": 24, "charts/tokens": 48 });
    expect(metrics[1]).not.toHaveProperty("lag/mean");
    expect(metrics[21]).not.toHaveProperty("eval/loss");
  });
});

describe("a warm start", () => {
  it("is what rl is held to, in a run that goes on too", async () => {
    const file = saved("warm", {
      ...{ environment: "./environment.ts", reward: { speed: 0, truncated: "score" } },
      algorithm: { name: "grpo", kl: { in: "loss", kind: "k3", coefficient: 0.5 } },
      rollout: { groupSize: 4, groupsPerStep: 2, slots: 2, batch: 8 },
      optimizer: { lr: 1e-3 },
      train: { steps: 4, tokenBudget: 512, warmStart: { steps: 10, batch: 6, lr: 1e-2 } },
      ...{ eval: { every: 0 }, checkpoint: { every: 2 } },
    });
    writeFileSync(join(folder, "warm", "environment.ts"), UPPER);
    const metrics = metricsOf(await inTwoParts(file, 2));
    // at first the policy is what it is held to
    expect(metrics[0]?.["losses/kl"]).toBeCloseTo(0, 6);
    expect(metrics[3]?.["losses/kl"]).toBeLessThan(0.1);
  });
});

describe("conversations", () => {
  it("are trained on the answers of the assistant, each behind what was said before", async () => {
    const words = join(folder, "words");
    mkdirSync(words);
    writeFileSync(
      join(words, "tokenizer.json"),
      JSON.stringify(byteTokenizer({ specialTokens: ["<pad>", "<|im_end|>"] })),
    );
    writeFileSync(join(words, "tokenizer_config.json"), '{"eos_token": "<|im_end|>"}');
    writeFileSync(
      join(words, "chat_template.jinja"),
      "{% for m in messages %}{{ m.role }}:{{ m.content }}<|im_end|>{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}",
    );
    const tokenizer = { kind: "directory", directory: "words" };
    const create = { ...MODEL.create, maxLength: 128, tokenizer };
    const section = modelSection.parse({ create });
    await using policy = await openPolicy(section, { device: gpu, from: folder });
    const say = (role: string, content: string): object => ({ role, content });
    const messages = [say("user", "a"), say("assistant", "b"), say("user", "c")];
    const data = lines("chat", [{ messages: [...messages, say("assistant", "d")], id: 1 }]);
    const path = join(folder, "chat", data);
    const [row = []] = await readDemonstrations(path, { policy, tokenBudget: 128 });
    const text = (ids: ArrayLike<number>): string => policy.tokenizer.decode(Array.from(ids));
    const shown = row.map(({ ids, trained }) => trained.map(([a, b]) => text(ids.slice(a, b))));
    expect(shown).toEqual([["b<|im_end|>"], ["d<|im_end|>"]]);
    expect(text(row[1]?.ids ?? [])).toBe(
      "user:a<|im_end|>assistant:b<|im_end|>user:c<|im_end|>assistant:d<|im_end|>",
    );
    const without = readDemonstrations(path, { policy, tokenBudget: 20 });
    await expect(without).rejects.toThrow(/line 1,.*\n.*train\.tokenBudget\) of 20/);
  });
});

describe("dpo", () => {
  it.each([
    ["all weights", null, 0.02],
    ["adapters", { rank: 8, alpha: 16 }, 0.06],
  ])("learns preferences with %s, and resumes bit for bit", async (_, lora, lr) => {
    const name = lora ? "dpo-lora" : "dpo";
    const row = (letter: string): object => ({
      ...{ prompt: `${letter}:`, chosen: letter.toUpperCase(), rejected: letter },
    });
    const data = lines(name, [...LETTERS, ...LETTERS.slice(0, 3)].map(row));
    const file = saved(name, {
      ...{ method: "dpo", data, model: { ...MODEL, lora }, optimizer: { lr } },
      train: { steps: 16, batch: 12, heldOut: 3, dpo: { beta: 0.5, labelSmoothing: 0.05 } },
      ...{ eval: { every: 8 }, checkpoint: { every: 8 } },
    });
    const metrics = metricsOf(await inTwoParts(file, 8));
    // before the first update the policy is the reference
    for (const [metric, value] of [
      ["eval/loss", Math.LN2],
      ["eval/margin", 0],
      ["eval/accuracy", 0],
    ] as const)
      expect(metrics[0]?.[metric], metric).toBeCloseTo(value, 6);
    expect(metrics[1]?.["losses/loss"]).toBeCloseTo(Math.LN2, 6);
    const last = metrics.at(-1) ?? {};
    expect(last["losses/loss"]).toBeLessThan(0.5);
    expect(last).toMatchObject({ "dpo/accuracy": 1, "eval/accuracy": 1 });
    expect(last["dpo/margin"]).toBeCloseTo(
      (last["dpo/chosen_reward"] ?? 0) - (last["dpo/rejected_reward"] ?? 0),
      9,
    );
    expect(last["eval/loss"]).toBeLessThan(0.55); // ln 2 at the start
  });
});

describe("data that cannot be trained on", () => {
  const good = { prompt: "a:", response: "A" };
  const pair = { prompt: "a:", chosen: "A", rejected: "a" };
  it.each<[string, string, readonly unknown[], RegExp]>([
    ["no JSON", "sft", [good, "{"], /line 2,.*\n.*JSON/],
    ["no object", "sft", ["", "[1]"], /line 2,.*\n.*no JSON object/],
    [
      "no response",
      "sft",
      [{ prompt: "a", completion: "b" }],
      /line 1,.*\n.*"response".*completion/,
    ],
    ["no text", "sft", [good, { ...good, response: 3 }], /line 2,.*\n.*"response".*number/],
    [
      "too long",
      "sft",
      [good, good, { ...good, response: "a".repeat(30) }],
      /line 3,.*\n.*context/,
    ],
    ["characters it cannot read", "sft", [{ ...good, prompt: "1" }], /line 1,/],
    ["no template", "sft", [{ messages: [{ role: "user", content: "a" }] }], /chat template/],
    ["messages that are none", "sft", [{ messages: ["a"] }], /list of \{ role/],
    ["no line", "sft", ["", " "], /no line/],
    ["no rejected answer", "dpo", [pair, { ...pair, rejected: null }], /line 2,.*\n.*"rejected"/],
    ["an empty prompt", "dpo", [{ ...pair, prompt: "" }], /line 1,.*\n.*empty/],
    ["too long", "dpo", [{ ...pair, rejected: "a".repeat(30) }], /line 1,.*\n.*rejected.*context/],
  ])("%s (%s) is refused with its line", async (name, method, rows, message) => {
    const place = `bad-${method}-${name.replaceAll(" ", "-")}`;
    const file = saved(place, { method, data: lines(place, rows), train: { steps: 4 } });
    await expect(run(file)).rejects.toMatchObject({ code: "file_invalid" });
    await expect(run(file)).rejects.toThrow(message);
  });

  it("nor is a file that is not there, or of which nothing is left", async () => {
    const missing = saved("missing", { method: "sft", data: "nowhere.jsonl" });
    expect(await rejectionOf(run(missing))).toBe("file_invalid");
    const kept = saved("kept", {
      ...{ method: "sft", data: lines("kept", [good, good]), train: { heldOut: 2 } },
    });
    expect(await rejectionOf(run(kept))).toBe("config_invalid");
  });
});
