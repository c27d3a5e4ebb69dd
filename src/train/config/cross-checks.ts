/** What keys have to do with each other. */
import { algorithmOf, isAlgorithm } from "./algorithm-section.ts";
import type { Problem } from "./problems.ts";
import type { TrainConfig } from "./types.ts";

/** A rule: where it is broken, whether it is, and what to write instead. */
type Rule = readonly [path: string, isBroken: boolean, text: string];

/** Keys that contradict each other. */
export function contradictions(config: TrainConfig): Problem[] {
  const rules = [...modelRules(config), ...dataRules(config), ...stepRules(config)];
  const broken = rules
    .filter(([, isBroken]) => isBroken)
    .map(([path, , text]) => ({ path: path.split("."), text }));
  return [...broken, ...algorithmProblems(config)];
}

/** What the algorithm has against its options. */
function algorithmProblems({ algorithm }: TrainConfig): Problem[] {
  try {
    algorithmOf(algorithm);
    return [];
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const text = reason
      .replace(/^\[\w+\] /, "")
      .replace(/\n +got +/, ", got ")
      .replace(/\n +(why|fix) +/g, "; ");
    return [{ path: ["algorithm"], text }];
  }
}

/** What is allowed and seldom meant: a sentence each. */
export function configWarnings(config: TrainConfig): string[] {
  const { rollout, method, algorithm, checkpoint, train } = config;
  const { topK, topP, minP } = rollout;
  const isCut = topK > 0 || topP < 1 || minP > 0;
  const warnings: readonly (readonly [boolean, string])[] = [
    [
      method === "rl" && isCut,
      "rollout.topK, topP and minP bias the ratios: training takes probabilities over all tokens; only the temperature is the same on both sides",
    ],
    [
      method === "rl" &&
        rollout.groupSize === 1 &&
        !isAlgorithm(algorithm) &&
        algorithm.name !== "ppo",
      "rollout.groupSize is 1: there is nobody in a group to compare an episode with",
    ],
    [
      checkpoint.every > train.steps || checkpoint.every === 0,
      "checkpoint.every: there is a checkpoint at the end only; a run that is killed begins again",
    ],
  ];
  return warnings.filter(([isMeant]) => isMeant).map(([, sentence]) => sentence);
}

function modelRules({ model }: TrainConfig): Rule[] {
  const { directory, create, lora, weightDtype } = model;
  const has = (directory === null ? 0 : 1) + (create === null ? 0 : 1);
  const { width = 1, heads = 1, kvHeads = 1, tokenizer = undefined } = create ?? {};
  const alphabet = tokenizer?.kind === "characters" ? [...tokenizer.alphabet] : [];
  return [
    [
      "model",
      has === 0,
      "needs directory, a model to begin with, or create, the sizes of a new one",
    ],
    ["model.create", has === 2, "there is a directory too; leave out one of them"],
    ["model.create.heads", width % heads !== 0, `must divide width ${width}, got ${heads}`],
    ["model.create.kvHeads", heads % kvHeads !== 0, `must divide heads ${heads}, got ${kvHeads}`],
    [
      "model.create.tokenizer.alphabet",
      new Set(alphabet).size < alphabet.length,
      "each character may be in it once",
    ],
    [
      "model.weightDtype",
      weightDtype !== "f32" && lora === null,
      `optimizers train f32 only, got ${weightDtype}; write f32, or train adapters by model.lora`,
    ],
  ];
}

function dataRules({
  method,
  environment,
  data,
  train,
  checkpoint,
  ...config
}: TrainConfig): Rule[] {
  return [
    ["environment", method === "rl" && environment === null, "rl needs an environment"],
    [
      "data",
      method === "sft" && environment === null && data === null,
      "sft needs data, or an environment with demonstrations",
    ],
    ["data", method === "dpo" && data === null, "dpo needs pairs"],
    [
      "train.reference",
      method === "dpo" && train.reference === "none",
      "dpo measures against a reference; write start, or leave it out",
    ],
    [
      "train.warmStart",
      train.warmStart !== null && method !== "rl",
      "only rl has a warm start; leave it out",
    ],
    [
      "eval.samples",
      config.eval.samples > 1 && config.eval.temperature === 0,
      "at temperature 0 all plays of a task are the same; write eval.temperature: 1",
    ],
    [
      "checkpoint.best",
      checkpoint.best?.startsWith("eval/") === true && config.eval.every === 0,
      "the metric is never measured as eval.every is 0",
    ],
  ];
}

function stepRules({ method, rollout, optimizer, train }: TrainConfig): Rule[] {
  const { groupsPerStep, slots, window, batch, cacheSlots, length, maxTokens } = rollout;
  const { warmupSteps, finalLr, lr, schedule } = optimizer;
  return [
    [
      "rollout.slots",
      slots < groupsPerStep,
      `must be groupsPerStep ${groupsPerStep} or more, got ${slots}`,
    ],
    [
      "rollout.window",
      typeof window === "number" && window > slots,
      `must be slots ${slots} or less, got ${window}`,
    ],
    ["rollout.cacheSlots", cacheSlots < batch, `must be batch ${batch} or more, got ${cacheSlots}`],
    [
      "rollout.maxTokens",
      maxTokens !== null && length !== null && maxTokens >= length,
      `must be below length ${length}, got ${maxTokens}`,
    ],
    [
      "rollout.temperature",
      method === "rl" && rollout.temperature === 0,
      "at 0 all episodes of a group are the same, and there is nothing to learn; write 1",
    ],
    [
      "optimizer.warmupSteps",
      warmupSteps > train.steps,
      `must be train.steps ${train.steps} or less, got ${warmupSteps}`,
    ],
    [
      "optimizer.finalLr",
      schedule !== "constant" && finalLr > lr,
      `must be lr ${lr} or less, got ${finalLr}`,
    ],
  ];
}
