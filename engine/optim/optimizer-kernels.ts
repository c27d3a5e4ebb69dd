/**
 * Kernels of the optimizers: a step over flat arrays, the global norm, and the clipping factor that joins them.
 *
 * All share a buffer of 8 f32 scalars, so that nothing which changes per step is part of a plan: the host writes the first
 * ones with {@link adamwScalars} or {@link sgdScalars}; `clipFactor`, when used, writes multiplier, skip and norm behind
 * them in the same plan, without a readback.
 *
 * Parameters lie in flat arrays in blocks of {@link BLOCK} elements; each block has a group, each group a learning-rate
 * scale and a weight decay. Gaps between parameters must be zeros in all arrays: they count in the norm, and are stepped
 * (which leaves zeros). Every flat array is stored up to a multiple of 4 elements.
 */
import { type DeviceFacts, foldGrid, type KernelDispatch, paramWords } from "../gpu/dispatch.ts";
import { biasCorrection } from "./bias-correction.ts";

/** Elements that share a group. Parameters start at multiples of it. */
export const BLOCK = 64;

/** Where each scalar lies in the shared buffer. */
export const SCALARS = {
  lr: 0,
  unbiasM: 1,
  unbiasU: 2,
  multiplier: 3,
  skip: 4,
  norm: 5,
} as const;

/** Length of the shared buffer of scalars, in f32. */
export const SCALARS_LENGTH = 8;

/** The entry points of one family: the first whose `supports` holds. */
export type OptimizerVariants = readonly {
  readonly entry: string;
  readonly supports: (facts: DeviceFacts) => boolean;
  /** Workgroups for `count` elements (partials in the case of the norm). */
  readonly groups: (count: number) => number;
}[];

const isHardware = (facts: DeviceFacts): boolean => !facts.isSoftware;
const always = (): boolean => true;

/** Entry points of an AdamW step. */
export const ADAMW_VARIANTS: OptimizerVariants = [
  { entry: "adamw_step_coalesced", supports: isHardware, groups: (n) => Math.ceil(n / 256) },
  { entry: "adamw_step", supports: always, groups: (n) => Math.ceil(n / 512) },
];

/** Entry points of an SGD step. */
export const SGD_VARIANTS: OptimizerVariants = [
  { entry: "sgd_step_coalesced", supports: isHardware, groups: (n) => Math.ceil(n / 256) },
  { entry: "sgd_step", supports: always, groups: (n) => Math.ceil(n / 512) },
];

/** Entry points of the partial sums of squares. */
export const GLOBAL_NORM_VARIANTS: OptimizerVariants = [
  { entry: "global_norm_workgroup", supports: isHardware, groups: (n) => n },
  { entry: "global_norm", supports: always, groups: (n) => Math.ceil(n / 8) },
];

/** Entry points of the clipping factor. */
export const CLIP_FACTOR_VARIANTS: OptimizerVariants = [
  { entry: "clip_factor_workgroup", supports: isHardware, groups: () => 1 },
  { entry: "clip_factor", supports: always, groups: () => 1 },
];

/** Constants of AdamW that hold for a whole run. */
export interface AdamWConstants {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
}

/**
 * One AdamW step over `count` elements of the parameters, from `first` on.
 *
 * Bindings: 1 grad · 2 groups u32 [blocks] · 3 table f32 [groups, 2] (lr scale, weight decay) · 4 scalars · 5 param · 6 m · 7 u.
 * `u` is the square root of Adam's second moment. m and u start at zeros.
 * Params: count, first in fours, one_minus_beta1 f32, one_minus_beta2 f32, epsilon f32.
 */
export function adamwStep(
  facts: DeviceFacts,
  count: number,
  { beta1, beta2, epsilon }: AdamWConstants,
  first = 0,
): KernelDispatch {
  return dispatch("adamw", ADAMW_VARIANTS, facts, count, [
    count,
    first / 4,
    { f32: 1 - beta1 },
    { f32: 1 - beta2 },
    { f32: epsilon },
  ]);
}

/** The scalars of AdamW step `step` (1 for the first), to write before the plan runs. */
export function adamwScalars(
  step: number,
  lr: number,
  constants: Pick<AdamWConstants, "beta1" | "beta2">,
): Float32Array {
  const scalars = new Float32Array(SCALARS_LENGTH);
  scalars[SCALARS.lr] = lr;
  scalars[SCALARS.unbiasM] = biasCorrection(constants.beta1, step);
  scalars[SCALARS.unbiasU] = Math.sqrt(biasCorrection(constants.beta2, step));
  scalars[SCALARS.multiplier] = 1;
  return scalars;
}

/** Constants of SGD that hold for a whole run. */
export interface SgdConstants {
  /** 0 for none. */
  readonly momentum: number;
  readonly nesterov: boolean;
}

/**
 * One SGD step over `count` elements.
 *
 * Bindings: 1 grad · 2 groups u32 [blocks] · 3 table f32 [groups, 2] (lr scale, weight decay) · 4 scalars · 5 param · 6 v.
 * v starts at zeros; without momentum it is not touched and may be 4 elements long.
 * Params: count, momentum f32, nesterov.
 */
export function sgdStep(
  facts: DeviceFacts,
  count: number,
  { momentum, nesterov }: SgdConstants,
): KernelDispatch {
  return dispatch("sgd", SGD_VARIANTS, facts, count, [count, { f32: momentum }, nesterov ? 1 : 0]);
}

/** The scalars of an SGD step, to write before the plan runs. */
export function sgdScalars(lr: number): Float32Array {
  const scalars = new Float32Array(SCALARS_LENGTH);
  scalars[SCALARS.lr] = lr;
  scalars[SCALARS.multiplier] = 1;
  return scalars;
}

/** Elements summed into one partial, and number of partials. */
export interface NormPartition {
  readonly chunk: number;
  readonly partials: number;
}

/** How `count` elements are cut for the norm: enough partials to fill the adapter, few enough to be summed by one workgroup. */
export function normPartition(facts: DeviceFacts, count: number): NormPartition {
  const chunk = facts.isSoftware ? 1024 : 16_384;
  return { chunk, partials: Math.ceil(count / chunk) };
}

/**
 * Partial sums of squares of `count` values, into partials from `partialOffset` on (one dispatch for each flat array).
 *
 * Bindings: 1 values · 2 partials f32 [partials, 4]. Params: count, chunk, partial_offset.
 */
export function globalNorm(
  facts: DeviceFacts,
  count: number,
  partialOffset: number,
): KernelDispatch {
  const { chunk, partials } = normPartition(facts, count);
  return dispatch("global-norm", GLOBAL_NORM_VARIANTS, facts, partials, [
    count,
    chunk,
    partialOffset,
  ]);
}

/** Entry points of the packing to bf16. */
export const PACK_BF16_VARIANTS: OptimizerVariants = [
  { entry: "pack_bf16_coalesced", supports: isHardware, groups: (n) => Math.ceil(n / 256) },
  { entry: "pack_bf16", supports: always, groups: (n) => Math.ceil(n / 512) },
];

/** Entry points of the packing to int8. */
export const PACK_INT8_VARIANTS: OptimizerVariants = [
  { entry: "pack_int8_workgroup", supports: isHardware, groups: (n) => Math.ceil(n / 256) },
  { entry: "pack_int8", supports: always, groups: (n) => Math.ceil(n / 2048) },
];

/** A part of a flat array, in elements: both ends multiples of {@link BLOCK}. */
export interface FlatRange {
  readonly from: number;
  readonly to: number;
}

/**
 * Packs a part of a flat array as bf16. Bindings: 1 source · 2 packed u32 [count / 2]. Params: first and last in fours.
 */
export function packBf16(facts: DeviceFacts, { from, to }: FlatRange): KernelDispatch {
  return dispatch("pack-bf16", PACK_BF16_VARIANTS, facts, to - from, [from / 4, to / 4]);
}

/**
 * Packs a part of a flat array of `count` elements, which begins at a multiple of 256, as int8.
 *
 * Bindings: 1 source · 2 residual · 3 packed u32. Params: first and last in blocks of 256, count in fours.
 */
export function packInt8(
  facts: DeviceFacts,
  { from, to }: FlatRange,
  count: number,
): KernelDispatch {
  const blocks = [from / 256, Math.ceil(to / 256)];
  return dispatch("pack-int8", PACK_INT8_VARIANTS, facts, to - from, [...blocks, count / 4]);
}

/** How gradients are clipped. */
export interface ClipOptions {
  /** Largest norm; 0 does not clip, but still skips steps whose norm is not finite. */
  readonly maxNorm: number;
  /** Factor on gradients before anything else, such as 1 / number of micro-batches. Default 1. */
  readonly gradScale?: number;
}

/**
 * Writes multiplier, skip flag and norm into the scalars.
 *
 * Bindings: 1 partials f32 [partials, 4] · 2 scalars. Params: partials, max_norm f32, grad_scale f32.
 */
export function clipFactor(
  facts: DeviceFacts,
  partials: number,
  { maxNorm, gradScale = 1 }: ClipOptions,
): KernelDispatch {
  return dispatch("clip-factor", CLIP_FACTOR_VARIANTS, facts, partials, [
    partials,
    { f32: maxNorm },
    { f32: gradScale },
  ]);
}

function dispatch(
  name: string,
  variants: OptimizerVariants,
  facts: DeviceFacts,
  count: number,
  fields: readonly (number | { readonly f32: number })[],
): KernelDispatch {
  const variant = variants.find((v) => v.supports(facts));
  if (!variant) throw new Error(`unreachable: the last variant of ${name} runs everywhere`);
  return {
    name,
    entry: variant.entry,
    options: {},
    params: paramWords(fields),
    grid: [...foldGrid(variant.groups(count)), 1],
  };
}
