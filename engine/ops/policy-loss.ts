/** Losses of policy-gradient methods, with the divergence from a reference, in one kernel. */
import { ForgeError } from "../error.ts";
import { emitDispatch } from "../graph/dispatch.ts";
import type { KernelOp } from "../graph/kernel.ts";
import { formatShape } from "../tensor/shape.ts";
import { makeNode, Tensor } from "../tensor/tensor.ts";
import { add, cast, mul } from "./elementwise.ts";
import { asIndices } from "./indices.ts";
import { COLUMN_SUM } from "./norm-variants.ts";
import {
  checkPolicyLoss,
  type KlKind,
  type PolicyLossForm,
  policyLossKernel,
} from "./policy-loss-variants.ts";
import { sum } from "./reduce.ts";
import { chooseRow } from "./row-variants.ts";
import { reshape, slice } from "./view.ts";

/** Rows of the constants of {@link policyLoss}, in order. */
export const POLICY_LOSS_ROWS = ["old", "advantage", "weight", "importance", "reference"] as const;

/** Options of {@link policyLoss}. */
export interface PolicyLossOptions {
  readonly policy: PolicyLossForm;
  /** The divergence from the reference in the loss. Default none. */
  readonly kl?: { readonly kind: KlKind; readonly coefficient: number };
}

/** What {@link policyLoss} gives, all scalars in f32. */
export interface PolicyLossResult {
  /** policy + coefficient · kl. */
  readonly loss: Tensor;
  /** Σ weight · importance · term. */
  readonly policy: Tensor;
  /** Σ weight · kl(logπ − reference); 0 without `kl`. */
  readonly kl: Tensor;
}

interface Attributes {
  readonly policy: PolicyLossForm;
  readonly kl: KlKind | undefined;
}

/** Inputs logprobs, rows, offsets. Outputs totals [2] (policy, kl), and slopes [2, M]: their derivatives to logprobs. */
const policyLossOp: KernelOp = {
  name: "policy_loss",
  kind: "kernel",
  lower: (context, node) => {
    const [logprobs, , offsets] = node.inputs as readonly [Tensor, Tensor, Tensor];
    const { policy, kl } = node.attributes as unknown as Attributes;
    const [tokens, sequences] = [logprobs.size, offsets.size - 1];
    const call = { tokens, sequences, policy, ...(kl && { kl }) };
    const sums = context.scratch("policy loss sums", 2 * sequences);
    emitDispatch(context, policyLossKernel(context.device, call), {
      bindings: [
        ...[0, 1, 2].map((i) => context.input(i).slot),
        sums.slot,
        context.output(1).slot,
        context.status().slot,
      ],
      flops: 60 * tokens,
    });
    emitDispatch(context, chooseRow(COLUMN_SUM, context.device, { rows: sequences, cols: 2 }), {
      bindings: [sums.slot, context.output(0).slot],
      flops: 2 * sequences,
    });
  },
  gradient: (node, [dtotals]) => {
    if (!dtotals) return [];
    const slopes = new Tensor(node, 1);
    const share = (i: number): Tensor =>
      mul(slice(dtotals, 0, i, i + 1), reshape(slice(slopes, 0, i, i + 1), [-1]));
    return [add(share(0), share(1))];
  },
};

/**
 * The loss of a policy over packed sequences: Σ weight·importance·term + coefficient·Σ weight·kl, with the terms of
 * {@link PolicyLossForm}. Values and derivatives come out of one dispatch, a workgroup a sequence.
 *
 * How terms are averaged is in the weights: token weights of 1/N give a mean over N tokens. A token of weight 0 is none:
 * it adds exactly 0 and has a gradient of exactly 0, whatever else stands in its column, and it does not count in its
 * sequence's length. Log-ratios are held to ±20 (the mean of `sequence-clip` to 10, as in verl), and have no gradient
 * beyond.
 *
 * Shapes    logprobs [M], rows [5, M] ({@link POLICY_LOSS_ROWS}), offsets [S + 1] u32 or i32: sequence s is the tokens
 *           offsets[s]..offsets[s + 1]; it may be empty. Tokens before the first offset and from the last one on count
 *           nowhere.
 * Gradient  to logprobs, of all three results; rows are constants.
 * Errors    `shape_mismatch`; `dtype_mismatch`; `argument_invalid`; offsets that fall or lie beyond M give
 *           `index_out_of_range` at the next read. What is not finite in a token that counts makes the loss not finite.
 * Kernel    shaders/policy-loss.wgsl
 */
export function policyLoss(
  logprobs: Tensor,
  rows: Tensor,
  offsets: Tensor,
  { policy, kl }: PolicyLossOptions,
): PolicyLossResult {
  checkOperands(logprobs, rows, offsets);
  checkPolicyLoss(policy, kl);
  const ids = asIndices("policyLoss", "offsets", offsets);
  if (logprobs.size === 0 || offsets.size === 1) {
    const none = sum(slice(cast(logprobs, "f32"), 0, 0, 0));
    return { loss: none, policy: none, kl: none };
  }
  const node = makeNode(
    policyLossOp,
    [cast(logprobs, "f32"), cast(rows, "f32"), ids],
    { policy, kl: kl?.kind } satisfies Attributes,
    [
      { shape: [2], dtype: "f32" },
      { shape: [2, logprobs.size], dtype: "f32" },
    ],
  );
  const totals = new Tensor(node, 0);
  const [policySum, klSum] = [0, 1].map((i) => reshape(slice(totals, 0, i, i + 1), [])) as [
    Tensor,
    Tensor,
  ];
  const loss = kl ? add(policySum, mul(klSum, kl.coefficient)) : policySum;
  return { loss, policy: policySum, kl: klSum };
}

function checkOperands(logprobs: Tensor, rows: Tensor, offsets: Tensor): void {
  const fits =
    logprobs.rank === 1 &&
    rows.shape.join() === `${POLICY_LOSS_ROWS.length},${logprobs.size}` &&
    offsets.rank === 1 &&
    offsets.size > 0;
  if (fits) return;
  throw new ForgeError({
    code: "shape_mismatch",
    what: "policyLoss: the operands do not fit together.",
    got: [logprobs, rows, offsets].map((t) => formatShape(t.shape)).join(" · "),
    fix: "pass logprobs [M], rows [5, M] and offsets [S + 1]",
  });
}
