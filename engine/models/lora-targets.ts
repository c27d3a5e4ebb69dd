/** Which modules of a model get adapters, and how large: PEFT's rules over the names of the Hugging Face modules. */
import { Linear } from "../nn/linear.ts";
import type { CausalLM } from "./causal-lm.ts";
import { FAMILIES, type FamilyName } from "./families.ts";
import { parameterParts } from "./tensor-map.ts";

/** What adapters are made by; PEFT's names are those of its adapter_config.json. */
export interface LoraConfig {
  /** Rows of A, and columns of B. PEFT's `r`. */
  readonly rank: number;
  /** B · A is multiplied by alpha / rank. PEFT's `lora_alpha`. */
  readonly alpha: number;
  /**
   * Names of modules, whole (`model.layers.0.self_attn.q_proj`) or their ends (`q_proj`, `mlp.c_proj`); or a regular
   * expression that a whole name matches; or `all-linear`. PEFT's `target_modules`.
   */
  readonly targets: readonly string[] | string;
  /** Ranks and alphas of modules whose name, or an end of it, matches a regular expression: the first that does. */
  readonly rankPattern: Readonly<Record<string, number>>;
  readonly alphaPattern: Readonly<Record<string, number>>;
  /** Multiply by alpha / √rank instead. Source: Kalajdzievski 2023, arXiv:2312.03732. */
  readonly useRslora: boolean;
}

/** A linear module of the original library: some columns of a layer of ours. */
export interface LinearModule {
  /** In full, without `.weight`. */
  readonly name: string;
  readonly layer: Linear;
  readonly start: number;
  readonly columns: number;
}

/** A module that gets an adapter. */
export interface LoraTarget extends LinearModule {
  readonly rank: number;
  readonly scale: number;
}

/** Every linear module of the layers; the head is none of them. */
export function linearModules({ family, transformer }: CausalLM): LinearModule[] {
  const modules = transformer.layers.flatMap(({ attention, mlp }) => [
    ...Object.values(attention),
    ...Object.values(mlp),
  ]);
  const layerOf = new Map(modules.filter((m) => m instanceof Linear).map((l) => [l.weight, l]));
  return parameterParts(transformer, FAMILIES[family].names).flatMap(({ state, parts }) => {
    const layer = layerOf.get(state);
    if (!layer) return [];
    return parts.map(({ name, start, columns }) => ({
      name: name.replace(/\.weight$/, ""),
      ...{ layer, start, columns },
    }));
  });
}

/** PEFT's `target_modules` where none are given. */
export function defaultTargets(family: FamilyName): readonly string[] {
  return family === "gpt2" ? ["c_attn"] : ["q_proj", "v_proj"];
}

/** The modules that get adapters, in the order of the model. */
export function loraTargets(model: CausalLM, config: LoraConfig): LoraTarget[] {
  return linearModules(model)
    .filter(({ name }) => isTarget(config.targets, name))
    .map((module) => {
      const rank = patternValue(config.rankPattern, module.name) ?? config.rank;
      const alpha = patternValue(config.alphaPattern, module.name) ?? config.alpha;
      return { ...module, rank, scale: alpha / (config.useRslora ? Math.sqrt(rank) : rank) };
    });
}

/** Whether adapters are asked for a module of this name. */
export function isTarget(targets: LoraConfig["targets"], name: string): boolean {
  if (typeof targets !== "string") {
    return targets.some((target) => name === target || name.endsWith(`.${target}`));
  }
  return targets.toLowerCase() === "all-linear" || wholly(targets).test(name);
}

function patternValue(
  patterns: Readonly<Record<string, number>>,
  name: string,
): number | undefined {
  return Object.entries(patterns).find(([key]) => wholly(`(.*\\.)?(${key})`).test(name))?.[1];
}

function wholly(pattern: string): RegExp {
  return new RegExp(`^(?:${pattern})$`, "u");
}

/**
 * Which setting cannot be used, and why; undefined when all can. `config` may be anything that a file holds.
 *
 * Regular expressions are read as JavaScript reads them with the flag `u`, which refuses what Python alone has.
 */
export function loraProblem(config: LoraConfig): [keyof LoraConfig, string] | undefined {
  const { rank, alpha, targets, rankPattern, alphaPattern, useRslora } = config;
  const isName = (t: unknown): boolean => typeof t === "string" && t !== "";
  const isTargets = Array.isArray(targets)
    ? targets.length > 0 && targets.every(isName)
    : isName(targets) && isPattern(targets as string);
  const ranks = "an integer from 1 to 65,536";
  const checks: readonly [keyof LoraConfig, boolean, string][] = [
    ["rank", isRank(rank), ranks],
    ["alpha", isAlpha(alpha), "a positive number"],
    ["targets", isTargets, "names of modules, or a regular expression"],
    ["rankPattern", isPatterns(rankPattern, isRank), `regular expressions, and ${ranks} for each`],
    [
      "alphaPattern",
      isPatterns(alphaPattern, isAlpha),
      "regular expressions, and a number for each",
    ],
    ["useRslora", typeof useRslora === "boolean", "true or false"],
  ];
  const broken = checks.find(([, isFine]) => !isFine);
  return broken && [broken[0], `it must be ${broken[2]}`];
}

function isRank(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= 65_536;
}

function isAlpha(value: unknown): boolean {
  return Number.isFinite(value) && (value as number) > 0;
}

function isPattern(text: string): boolean {
  try {
    return wholly(text) instanceof RegExp;
  } catch {
    return false;
  }
}

function isPatterns(value: unknown, isFine: (value: unknown) => boolean): boolean {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  return Object.entries(value).every(([key, v]) => isPattern(`(.*\\.)?(${key})`) && isFine(v));
}
