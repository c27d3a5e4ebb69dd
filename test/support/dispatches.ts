/**
 * Every dispatch that the kernel tables can make: each file, entry point and set of constants at least once.
 */
import type { KernelDispatch } from "../../engine/gpu/dispatch.ts";
import {
  type AttentionDevice,
  type AttentionKernel,
  type AttentionShape,
  deltaKernel,
  forestKernel,
  lanesVariant,
  workgroupVariant,
} from "../../engine/ops/attention-variants.ts";
import {
  cacheCopy,
  cacheLanesVariant,
  cacheWorkgroupVariant,
  cacheWrite,
} from "../../engine/ops/cache-variants.ts";
import {
  embeddingBackward,
  embeddingForward,
  embeddingLinks,
  embeddingZero,
} from "../../engine/ops/embedding-variants.ts";
import { GATED, GATED_BACKWARD } from "../../engine/ops/gated-variants.ts";
import { withHeld } from "../../engine/ops/held-operands.ts";
import {
  crossEntropyBackward,
  lmHeadBackward,
  lmHeadForward,
} from "../../engine/ops/lm-head-variants.ts";
import { heldStep } from "../../engine/ops/matmul.ts";
import {
  contiguousMatmul,
  MATMUL_VARIANTS,
  type MatmulDeviceFacts,
  planMatmul,
} from "../../engine/ops/matmul-variants.ts";
import {
  COLUMN_SUM,
  LAYER_NORM,
  LAYER_NORM_BACKWARD,
  LAYER_NORM_WEIGHT,
  RMS_NORM,
  RMS_NORM_BACKWARD,
  RMS_NORM_WEIGHT,
} from "../../engine/ops/norm-variants.ts";
import { policyLossKernel } from "../../engine/ops/policy-loss-variants.ts";
import { fillRandom } from "../../engine/ops/random-variants.ts";
import { ROPE } from "../../engine/ops/rope-variants.ts";
import { chooseRow, type RowVariant } from "../../engine/ops/row-variants.ts";
import { advanceLog, advanceSlots, SAMPLE } from "../../engine/ops/sample-variants.ts";
import { ARG_MAX, CUMULATIVE_SUM, TOP_K } from "../../engine/ops/scan-variants.ts";
import {
  LOG_SUM_EXP,
  LOG_SUM_EXP_BACKWARD,
  SOFTMAX,
  SOFTMAX_BACKWARD,
} from "../../engine/ops/softmax-variants.ts";
import {
  adamwStep,
  clipFactor,
  globalNorm,
  packBf16,
  packInt8,
  sgdStep,
} from "../../engine/optim/optimizer-kernels.ts";
import { HELD } from "./held.ts";

/** What the tables ask of a device. */
export type KernelFacts = MatmulDeviceFacts & AttentionDevice;

const TENSOR_CORES = { isSoftware: false, subgroupSize: 32, hasF16: true, hasSubgroupMatrix: true };

/** Classes of adapters that between them run every kernel. */
export const ADAPTERS: Readonly<Record<string, KernelFacts>> = {
  "a CPU with subgroups of 4": withMemory({ isSoftware: true, subgroupSize: 4 }),
  "a CPU with subgroups of 8": withMemory({ isSoftware: true, subgroupSize: 8 }),
  "a CPU with subgroups of 16": withMemory({ isSoftware: true, subgroupSize: 16 }),
  "a CPU without subgroups": withMemory({ isSoftware: true, subgroupSize: undefined }),
  hardware: withMemory({ isSoftware: false, subgroupSize: undefined }),
  "hardware with tensor cores": withMemory(TENSOR_CORES),
  "hardware with tensor cores and more workgroup memory": withMemory(TENSOR_CORES, 49_152),
};

/** Facts of an adapter with so many bytes of workgroup memory. Default: the least that WebGPU allows. */
function withMemory(
  facts: Omit<KernelFacts, "limits" | "workgroupStorageBytes">,
  bytes = 16_384,
): KernelFacts {
  return {
    ...facts,
    workgroupStorageBytes: bytes,
    limits: { maxComputeWorkgroupStorageSize: bytes },
  };
}

/** All dispatches on an adapter. */
export function dispatches(facts: KernelFacts): KernelDispatch[] {
  return [
    ...matmul(facts),
    ...attention(facts),
    ...caches(facts),
    ...rows(facts),
    ...lookups(facts),
    ...optimizers(facts),
  ];
}

const BOTH = [false, true];
/** Whole vectors, single numbers, and rows longer than a lane takes. */
const COLUMNS = [64, 63, 100_000, 99_999];

function matmul(facts: KernelFacts): KernelDispatch[] {
  const sizes = [
    { m: 96, n: 64, k: 64 },
    { m: 33, n: 17, k: 19 },
    ...[1, 2, 3, 5, 16].map((m) => ({ m, n: 64, k: 64 })),
  ];
  const shapes = (["NN", "NT", "TN"] as const).flatMap((mode) =>
    sizes.map((size) => contiguousMatmul(mode, size)),
  );
  return shapes.flatMap((shape) =>
    MATMUL_VARIANTS.filter((v) => v.supports(facts, shape)).flatMap((v) =>
      planMatmul(v, facts, shape).steps.flatMap((step) => [
        step.dispatch,
        // operands in 16 bits: one number of few rows stands for all
        ...(shape.m === 1 || shape.m > 16 ? HELD : []).map(({ held }) =>
          heldStep(step, [held, held]),
        ),
      ]),
    ),
  );
}

function attention(facts: KernelFacts): KernelDispatch[] {
  const base = { tokens: 40, heads: 2, kvHeads: 1, hasWindow: false, hasSoftcap: false };
  const shapes: AttentionShape[] = [
    ...[8, 12, 16, 20, 32, 64, 80, 96, 128, 256].map((headDim) => ({ ...base, headDim })),
    { ...base, headDim: 8, hasWindow: true },
    { ...base, headDim: 8, hasSoftcap: true },
    { ...base, headDim: 16, hasWindow: true, hasSoftcap: true },
  ];
  const dispatch = (kernel: AttentionKernel, shape: AttentionShape): KernelDispatch => ({
    name: kernel.file,
    entry: kernel.entry,
    options: { constants: kernel.constants(facts, shape) },
    params: new Uint32Array(24),
    grid: kernel.grid(facts, shape),
  });
  return shapes.flatMap((shape) => [
    ...[forestKernel, deltaKernel].map((kernel) => dispatch(kernel, shape)),
    ...[lanesVariant, workgroupVariant]
      .filter((variant) => variant.refusal(facts, shape) === undefined)
      .flatMap(({ forward, dquery, dkeyvalue }) =>
        [forward, dquery, dkeyvalue].map((kernel) => dispatch(kernel, shape)),
      ),
  ]);
}

function caches(facts: KernelFacts): KernelDispatch[] {
  const place = { slots: 30, positions: 100, qkvOffset: 0, qkvStride: 0, dtype: "f32" } as const;
  const base = { ...place, heads: 4, kvHeads: 2, scale: 1, window: 0, softcap: 0 };
  const sizes = [8, 12, 32, 64, 80, 128, 256].map((headDim) => ({ ...base, headDim, rows: 30 }));
  const small = { ...base, headDim: 8, rows: 40 };
  const calls = [
    ...sizes,
    ...sizes.slice(0, 4).map((size) => ({ ...size, rows: 40 })),
    { ...small, heads: 32 },
    { ...small, positions: 2000 },
    { ...small, positions: 2000, window: 5, softcap: 5 },
    { ...small, window: 5 },
    { ...small, softcap: 5 },
    { ...small, dtype: "f16" as const },
  ];
  const variants = [cacheLanesVariant, cacheWorkgroupVariant].filter(
    (variant) => variant.refusal(facts) === undefined,
  );
  return [
    ...calls.flatMap((call) => [
      cacheWrite(call),
      ...variants.flatMap((variant) => {
        const { attend, combine } = variant.plan(facts, call);
        return combine ? [attend, combine.dispatch] : [attend];
      }),
    ]),
    ...(["f32", "f16"] as const).map((dtype) => cacheCopy({ ...place, width: 64, dtype }, 2)),
  ];
}

function rows(facts: KernelFacts): KernelDispatch[] {
  const made: KernelDispatch[] = [];
  const add = <Call>(variants: readonly RowVariant<Call>[], call: Call): void => {
    made.push(chooseRow(variants, facts, call));
  };
  for (const cols of COLUMNS) {
    const size = { rows: 40, cols };
    for (const flag of BOTH) {
      add(SOFTMAX, { ...size, isLog: flag });
      add(SOFTMAX_BACKWARD, { ...size, isLog: flag });
      add(CUMULATIVE_SUM, { ...size, isReversed: flag });
      add(RMS_NORM, { ...size, eps: 1e-6, withResidual: flag });
      add(RMS_NORM_BACKWARD, { ...size, withDsum: flag });
      add(LAYER_NORM_BACKWARD, { ...size, withDsum: flag });
      for (const withBias of BOTH) {
        add(LAYER_NORM, { ...size, eps: 1e-6, withResidual: flag, withBias });
      }
    }
    add(LOG_SUM_EXP, size);
    add(LOG_SUM_EXP_BACKWARD, size);
    add(ARG_MAX, size);
    add(SAMPLE, { ...size, slots: 50 });
    for (const k of [5, 100]) add(TOP_K, { ...size, k });
    for (const weight of [LAYER_NORM_WEIGHT, RMS_NORM_WEIGHT]) add(weight, { ...size, blocks: 2 });
    add(COLUMN_SUM, size);
    for (const activation of ["silu", "gelu_tanh", "gelu_erf"] as const) {
      add(GATED, { ...size, activation });
      add(GATED_BACKWARD, { ...size, activation });
    }
  }
  for (const headSize of [64, 6]) {
    for (const isInterleaved of BOTH) {
      add(ROPE, { tokens: 9, heads: 3, headSize, rotarySize: headSize, isInterleaved });
    }
  }
  return made;
}

function lookups(facts: KernelFacts): KernelDispatch[] {
  const made: KernelDispatch[] = [embeddingLinks(facts, 40)];
  for (const cols of COLUMNS) {
    const table = { tokens: 40, cols, vocab: 100 };
    made.push(embeddingForward(table), embeddingZero(table));
    made.push(...HELD.map(({ held }) => withHeld(embeddingForward(table), { table: held })));
    made.push(embeddingBackward(table, { isAccumulating: true }));
    for (const softcap of [0, 30]) {
      const chunk = { rows: 40, cols, softcap };
      const present = { dlogprob: true, dlse: true, dentropy: true };
      made.push(lmHeadForward(facts, chunk), lmHeadBackward(facts, chunk, present));
    }
    made.push(crossEntropyBackward(facts, { rows: 40, cols }));
  }
  for (const kind of ["bits", "uniform", "normal", "gumbel"] as const) {
    made.push(fillRandom(kind, 100));
  }
  const view = { offset: 0, stride: 1 };
  const log = { slots: 50, length: 8 };
  for (const tokens of [40, 4000]) {
    const policy = { form: "clip", low: 0.2, high: 0.2 } as const;
    made.push(policyLossKernel(facts, { tokens, sequences: 20, policy }));
  }
  made.push(advanceSlots(40, 50), advanceLog(40, log, { logprob: view, entropy: view }));
  return made;
}

function optimizers(facts: KernelFacts): KernelDispatch[] {
  return [
    adamwStep(facts, 1000, { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }),
    sgdStep(facts, 1000, { momentum: 0.9, nesterov: true }),
    globalNorm(facts, 1000, 0),
    clipFactor(facts, 10, { maxNorm: 1 }),
    packBf16(facts, { from: 0, to: 1024 }),
    packInt8(facts, { from: 0, to: 1024 }, 1024),
  ];
}
