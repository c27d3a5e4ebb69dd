/** A token drawn from each row of logits, on the GPU. */
import { ForgeError } from "../error.ts";
import { emitDispatch } from "../graph/dispatch.ts";
import type { KernelOp } from "../graph/kernel.ts";
import { formatShape } from "../tensor/shape.ts";
import { makeNode, Tensor } from "../tensor/tensor.ts";
import { cast } from "./elementwise.ts";
import { asIndices } from "./indices.ts";
import { chooseRow } from "./row-variants.ts";
import { inputRows, takesRows } from "./rows.ts";
import { SAMPLE } from "./sample-variants.ts";
import { reshape, slice } from "./view.ts";

/** How tokens of a slot are chosen. The truncations apply one behind the other, in this order. */
export interface SamplingOptions {
  /** Logits are divided by it; 0: always the largest. Default 1; 0, or from 1e-4 to 1e4. */
  readonly temperature?: number;
  /** Only the k largest logits, and those equal to the last of them. Default 0: all. */
  readonly topK?: number;
  /** Only tokens such that those more probable have less than this of the probability that is left. Default 1: all. */
  readonly topP?: number;
  /** Only tokens with at least this share of the largest probability. Default 0: all. */
  readonly minP?: number;
  /** Which random numbers: an integer from 0 to 2^64 − 1. Default 0. */
  readonly seed?: number | bigint;
}

/**
 * The settings of a slot as {@link sample} reads them: 8 words.
 *
 * 0 temperature, 2 top-p, 3 min-p: bits of f32 · 1 top-k · 4 and 5 the seed's low and high half · 6 and 7 unused.
 * Errors    `argument_invalid` for a value outside of its range.
 */
export function samplingWords(options: SamplingOptions = {}): Uint32Array<ArrayBuffer> {
  const { temperature = 1, topK = 0, topP = 1, minP = 0, seed = 0 } = options;
  const isWhole = typeof seed === "bigint" || Number.isSafeInteger(seed);
  check(
    "temperature",
    temperature,
    temperature === 0 || (temperature >= 1e-4 && temperature <= 1e4),
    "0 (the most probable token), or from 1e-4 to 1e4",
  );
  const isCount = Number.isInteger(topK) && topK >= 0 && topK < 2 ** 32;
  check("topK", topK, isCount, "an integer from 0 (all tokens) to 2^32 − 1");
  check("topP", topP, topP > 0 && topP <= 1, "above 0, to 1 (all tokens)");
  check("minP", minP, minP >= 0 && minP <= 1, "from 0 (all tokens) to 1");
  check("seed", seed, isWhole && seed >= 0 && seed < 2n ** 64n, "an integer from 0 to 2^64 − 1");
  const words = new Uint32Array(8);
  const floats = new Float32Array(words.buffer);
  floats[0] = temperature;
  words[1] = topK;
  floats[2] = topP;
  floats[3] = minP;
  new BigUint64Array(words.buffer)[2] = BigInt(seed);
  return words;
}

function check(name: string, got: number | bigint, isValid: boolean, range: string): void {
  if (isValid) return;
  throw new ForgeError({
    code: "argument_invalid",
    what: `sampling: ${name} is outside of its range.`,
    got: String(got),
    why: `${name} is ${range}`,
    fix: "correct it, or leave it out",
  });
}

/** Inputs logits, slots, settings, positions. Outputs token [N], and scores [3, N]: logprob, entropy, log-sum-exp. */
const sampleOp: KernelOp = {
  name: "sample",
  kind: "kernel",
  takesLayout: (input, layout) => input === 0 && takesRows(layout),
  lower: (context, node) => {
    const call = { ...inputRows(context, node), slots: node.inputs[3]?.size ?? 0 };
    if (call.rows === 0) return;
    emitDispatch(context, chooseRow(SAMPLE, context.device, call), {
      bindings: [
        ...[0, 1, 2, 3].map((i) => context.input(i).slot),
        ...[0, 1].map((o) => context.output(o).slot),
        context.status().slot,
      ],
      flops: 20 * call.rows * call.cols,
    });
  },
};

/** What {@link sample} draws with. */
export interface SampleInputs {
  /** [N] u32 or i32: row n belongs to slot slots[n]. One ≥ S (−1, say) is none: token 0, and zeros. */
  readonly slots: Tensor;
  /** [S, 8] u32: {@link samplingWords} of each slot. */
  readonly settings: Tensor;
  /** [S] u32: the position of the token whose logits a slot's row is. */
  readonly positions: Tensor;
}

/** What {@link sample} gives for each row, all [N]. */
export interface Sampled {
  /** The token drawn, u32. */
  readonly token: Tensor;
  /** Its log-probability under softmax(logits / temperature), nothing truncated; f32. For temperature 0 as for 1. */
  readonly logprob: Tensor;
  /** Entropy of that distribution, in nats; f32. */
  readonly entropy: Tensor;
  /** Log-sum-exp of logits / temperature; f32. */
  readonly logSumExp: Tensor;
}

/** Counts are held in f32. */
const MOST_COLS = 2 ** 24;

/**
 * Draws a token from each row of logits: argmax of logits / temperature + noise over the tokens that the truncations leave.
 *
 * Temperature, then top-k, top-p and min-p, with the meaning and order of Hugging Face's logits processors; equal logits
 * share a fate. The noise is a function of (seed, position, token) alone: a slot's draws do not depend on its row, its
 * place or its company. Temperature 0 takes the largest logit, the first of equals.
 *
 * Shapes    logits [N, V] with 1 ≤ V ≤ 2^24; masks are −1e30, not −Infinity.
 * Gradient  none.
 * Errors    `shape_mismatch`; `dtype_mismatch`; a row with a NaN or an infinity gives token 0 and zeros, and `non_finite`
 *           at the next read.
 * Kernel    shaders/sample*.wgsl
 */
export function sample(logits: Tensor, inputs: SampleInputs): Sampled {
  const { slots, settings, positions } = inputs;
  const [rows, cols] = logits.shape as readonly [number, number];
  const count = positions.size;
  const fits =
    logits.rank === 2 &&
    cols >= 1 &&
    cols <= MOST_COLS &&
    slots.shape.join() === `${rows}` &&
    positions.rank === 1 &&
    settings.shape.join() === `${count},8`;
  if (!fits) {
    throw new ForgeError({
      code: "shape_mismatch",
      what: "sample: the operands do not fit together.",
      got: [logits, slots, settings, positions].map((t) => formatShape(t.shape)).join(" · "),
      fix: "pass logits [N, V] with 1 ≤ V ≤ 2^24, slots [N], settings [S, 8] and positions [S]",
    });
  }
  const node = makeNode(
    sampleOp,
    [
      cast(logits, "f32"),
      asIndices("sample", "slots", slots),
      asIndices("sample", "settings", settings),
      asIndices("sample", "positions", positions),
    ],
    {},
    [
      { shape: [rows], dtype: "u32" },
      { shape: [3, rows], dtype: "f32" },
    ],
  );
  const scores = new Tensor(node, 1);
  const [logprob, entropy, logSumExp] = [0, 1, 2].map((i) =>
    reshape(slice(scores, 0, i, i + 1), [rows]),
  ) as [Tensor, Tensor, Tensor];
  return { token: new Tensor(node, 0), logprob, entropy, logSumExp };
}
