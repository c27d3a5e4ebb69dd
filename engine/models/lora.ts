/**
 * Low-rank adaptation: matrices A and B beside the weights of linear layers, trained in their place.
 * Source: Hu et al. 2021, arXiv:2106.09685; names, defaults and initialisation are those of PEFT 0.21.
 */
import { ForgeError } from "../error.ts";
import type { Device } from "../gpu/device.ts";
import { compile } from "../graph/compile.ts";
import { getDefaultDevice } from "../graph/default-device.ts";
import { LowRankAdapter } from "../nn/adapter.ts";
import { uniformInit } from "../nn/init.ts";
import type { Linear } from "../nn/linear.ts";
import { borrowStates, namedStates, parametersOf, replaceStates } from "../nn/module.ts";
import { Random } from "../nn/random.ts";
import { cast } from "../ops/elementwise.ts";
import { type Initial, parameter, type State } from "../tensor/state.ts";
import { CausalLM } from "./causal-lm.ts";
import type { HfConfig } from "./config.ts";
import { emptyLike, originOf } from "./copy.ts";
import {
  defaultTargets,
  isTarget,
  type LoraConfig,
  type LoraTarget,
  linearModules,
  loraProblem,
  loraTargets,
} from "./lora-targets.ts";
import type { SafetensorsHeader } from "./safetensors.ts";

/** Options of {@link applyLora}: rank 8, alpha 8, and PEFT's default targets of the family unless told. */
export interface LoraOptions extends Partial<LoraConfig> {
  /** Of the initial A, of which the lower 32 bits count. Default 0. */
  readonly seed?: number;
}

/** The adapter of one module. */
export interface ModuleAdapter {
  /** The module in the original library, such as `model.layers.0.self_attn.q_proj`. */
  readonly name: string;
  /** The layer of ours that it is a part of, and which part of its adapter. */
  readonly layer: Linear & { readonly adapter: LowRankAdapter };
  readonly part: number;
}

/** What an adapter directory held, for what is saved unchanged. */
export interface LoraOrigin {
  readonly config: HfConfig;
  readonly header: SafetensorsHeader;
}

/** How the matrices of a module start: A [rank, inputs] and B [columns, rank]. */
type Matrices = (target: LoraTarget) => { readonly a: Float32Array; readonly b: Initial };

/**
 * A model with adapters. Its other weights are those of its base, the very same states: they are neither trained nor freed
 * through it, and the base goes on as it was, for instance as the reference of a KL divergence.
 */
export class LoraModel extends CausalLM {
  readonly lora: LoraConfig;
  /** In the order of the model. */
  readonly adapters: readonly ModuleAdapter[];
  readonly origin: LoraOrigin | undefined;
  // no property: what is found by walking the policy is what it trains
  readonly #base: CausalLM;

  /** Adapters for `targets`, which are modules of the model itself; {@link applyLora} and `loadLora` choose them. */
  constructor(base: CausalLM, lora: LoraConfig, matrices: Matrices, origin?: LoraOrigin) {
    const transformer = emptyLike(base);
    borrowStates(transformer, base.transformer);
    super(base.family, transformer, originOf(base));
    this.lora = lora;
    this.origin = origin;
    this.#base = base;
    const byLayer = new Map<Linear, LoraTarget[]>();
    for (const target of loraTargets(this, lora)) {
      byLayer.set(target.layer, [...(byLayer.get(target.layer) ?? []), target]);
    }
    this.adapters = [...byLayer].flatMap(([layer, targets]) => {
      const [inputs, outputs] = layer.weight.shape as readonly [number, number];
      const parts = targets.map((target) => ({ ...target, ...matrices(target) }));
      layer.adapter = new LowRankAdapter(inputs, outputs, parts);
      return targets.map(({ name }, part) => ({
        name,
        layer: layer as ModuleAdapter["layer"],
        part,
      }));
    });
    parametersOf(transformer); // which names them
  }

  /** The model without the adapters. */
  get base(): CausalLM {
    return this.#base;
  }
}

/**
 * A model that computes what the given one does, with adapters on some of its linear modules: A uniform in ±1/√inputs, B
 * zeros. Training it leaves the given model as it is; both share its weights.
 *
 * Errors    `argument_invalid` for settings that make no sense, a target that no module has, and a model with adapters.
 */
export function applyLora(model: CausalLM, options: LoraOptions = {}): LoraModel {
  const { seed = 0, ...given } = options;
  checkBase("applyLora", model);
  const asked: LoraConfig = {
    ...{ rank: 8, alpha: 8, targets: defaultTargets(model.family) },
    ...{ rankPattern: {}, alphaPattern: {}, useRslora: false },
    ...given,
  };
  const problem = loraProblem(asked);
  if (problem) throw invalid(problem[0], asked[problem[0]], problem[1], "correct the option");
  const names = linearModules(model).map((m) => m.name);
  const ends = [...new Set(names.map((name) => name.slice(name.lastIndexOf(".") + 1)))];
  const { targets } = asked;
  for (const target of typeof targets === "string" ? [targets] : targets) {
    const isOne = typeof targets === "string" ? target : [target];
    if (names.some((name) => isTarget(isOne, name))) continue;
    throw invalid("targets", target, "no linear module has this name", `use ${ends.join(", ")}`);
  }
  const random = new Random(seed);
  const isAll = typeof targets === "string" && targets.toLowerCase() === "all-linear";
  const config = isAll ? { ...asked, targets: ends } : asked; // as PEFT writes them down
  return new LoraModel(model, config, ({ rank, layer }) => {
    const inputs = layer.weight.shape[0] as number;
    return { a: uniformInit(1 / Math.sqrt(inputs))([rank, inputs], random), b: 0 };
  });
}

/** Options of {@link mergeLora} and {@link unmergeLora}. */
export interface MergeOptions {
  /** Default: the default device. */
  readonly device?: Device;
}

/**
 * A model without adapters that computes what the policy does: weight + scale · (B · A)ᵀ, rounded to what the base's weights
 * are held in; f32 where the device cannot compute in that. Its weights are its own, so that neither the policy nor its base
 * change; save it with `modelFiles`.
 */
export async function mergeLora(policy: LoraModel, options: MergeOptions = {}): Promise<CausalLM> {
  const { base } = policy;
  const device = options.device ?? (await getDefaultDevice());
  const adapters = adaptersOf(policy);
  const merged = new CausalLM(base.family, emptyLike(base), originOf(base));
  const weights = namedStates(base.transformer);
  const wide = [...namedStates(merged.transformer)].flatMap(([path, state]) => {
    const isFine = state.dtype === "f32" || (state.dtype === "f16" && device.hasF16);
    if (isFine || !adapters.has(weights.get(path) as State)) return [];
    return [[state, parameter(state.shape, 0, path)] as const];
  });
  replaceStates(merged.transformer, new Map(wide));
  const own = namedStates(merged.transformer);
  using merge = compile(
    () => {
      for (const [path, weight] of weights) {
        const state = own.get(path) as State;
        const adapter = adapters.get(weight);
        if (adapter) state.assign(cast(adapter.addedTo(weight), state.dtype));
      }
      return {};
    },
    { device, label: "mergeLora" },
  );
  try {
    await merge();
    for (const [path, weight] of weights) {
      const state = own.get(path) as State;
      if (!adapters.has(weight)) state.copyFrom(device, weight);
      if (adapters.has(weight) || base.changed.has(weight)) merged.changed.add(state);
    }
    return merged;
  } catch (error) {
    merged[Symbol.dispose]();
    throw error;
  }
}

/**
 * Takes the policy's adapters, as they are now, out of a merged model in place: right after {@link mergeLora} its weights
 * are then the base's, to rounding.
 *
 * Errors    `argument_invalid` for a model of another shape, and for weights that the policy itself computes with;
 *           `dtype_unsupported` for weights in a dtype that the device cannot compute in.
 */
export async function unmergeLora(
  merged: CausalLM,
  policy: LoraModel,
  options: MergeOptions = {},
): Promise<void> {
  checkBase("unmergeLora", merged);
  const own = namedStates(merged.transformer);
  const adapters = adaptersOf(policy);
  const pairs = [...namedStates(policy.base.transformer)].flatMap(([path, weight]) => {
    const adapter = adapters.get(weight);
    if (!adapter) return [];
    const state = own.get(path);
    if (state && state !== weight && state.shape.join() === weight.shape.join())
      return [{ state, adapter }];
    throw new ForgeError({
      code: "argument_invalid",
      what: "unmergeLora: this model was not merged from the policy.",
      got: state === weight ? `the policy's own "${path}"` : `another "${path}"`,
      fix: "pass what mergeLora(policy) gave",
    });
  });
  using unmerge = compile(
    () => {
      for (const { state, adapter } of pairs)
        state.assign(cast(adapter.addedTo(state, -1), state.dtype));
      return {};
    },
    { ...options, label: "unmergeLora" },
  );
  await unmerge();
}

/** Adapters by the weight that they belong to. */
function adaptersOf({ adapters }: LoraModel): Map<State, LowRankAdapter> {
  return new Map(adapters.map(({ layer }) => [layer.weight, layer.adapter]));
}

/** Errors: `argument_invalid` for a model that has adapters. */
export function checkBase(name: string, model: CausalLM): void {
  if (!(model instanceof LoraModel)) return;
  throw new ForgeError({
    code: "argument_invalid",
    what: `${name}: the model has adapters already.`,
    got: `adapters on ${model.adapters.length} modules`,
    fix: "pass its base, or merge them first with mergeLora",
  });
}

function invalid(option: string, got: unknown, why: string, fix: string): ForgeError {
  const text = JSON.stringify(got) ?? "nothing";
  return new ForgeError({
    code: "argument_invalid",
    what: `applyLora: "${option}" cannot be used.`,
    got: text,
    why,
    fix,
  });
}
