/** What follows for slots once tokens have been drawn for them: bookkeeping in place, on the GPU. */
import { ForgeError } from "../error.ts";
import { emitDispatch } from "../graph/dispatch.ts";
import type { KernelOp, Operand } from "../graph/kernel.ts";
import { formatShape } from "../tensor/shape.ts";
import type { State } from "../tensor/state.ts";
import { makeNode, Tensor, type TensorType } from "../tensor/tensor.ts";
import { cast } from "./elementwise.ts";
import { asIndices } from "./indices.ts";
import type { Sampled } from "./sample.ts";
import { advanceLog, advanceSlots, type VectorView } from "./sample-variants.ts";

/** Inputs slots, token, logprob, entropy, progress, log; the last is updated in place. */
const advanceLogOp: KernelOp = {
  name: "advance_log",
  kind: "kernel",
  updates: { 0: 5 },
  takesLayout: (input) => input === 2 || input === 3,
  lower: (context, node) => {
    const rows = node.inputs[0]?.size ?? 0;
    const [{ shape }] = node.outputs as readonly [TensorType];
    const [slots, length] = shape as readonly [number, number, number];
    if (rows === 0) return;
    const views = {
      logprob: vectorOf(context.input(2)),
      entropy: vectorOf(context.input(3)),
    };
    emitDispatch(context, advanceLog(rows, { slots, length }, views), {
      bindings: [...[0, 1, 2, 3, 4].map((i) => context.input(i).slot), context.output(0).slot],
    });
  },
};

function vectorOf({ layout }: Operand): VectorView {
  return { offset: layout.offset, stride: layout.strides[0] ?? 0 };
}

/** Inputs slots, token, stops, tokens, positions, progress; the last three are updated in place. */
const advanceOp: KernelOp = {
  name: "advance",
  kind: "kernel",
  updates: { 0: 3, 1: 4, 2: 5 },
  lower: (context, node) => {
    const rows = node.inputs[0]?.size ?? 0;
    if (rows === 0) return;
    emitDispatch(context, advanceSlots(rows, node.outputs[0]?.shape[0] ?? 0), {
      bindings: [
        ...[0, 1, 2].map((i) => context.input(i).slot),
        ...[0, 1, 2].map((o) => context.output(o).slot),
      ],
    });
  },
};

/** What the slots of a sampler keep on the GPU, all u32. */
export interface SlotStates {
  /** [S]: the token that a slot feeds next. */
  readonly tokens: State;
  /** [S]: the position at which it is fed. */
  readonly positions: State;
  /** [S, 2]: how many more tokens a slot may draw (0: it is idle), and how many it has drawn. */
  readonly progress: State;
  /** [S, 8]: tokens that end a slot's text; 0xffffffff for none. Read only. */
  readonly stops: State;
  /** [S, K, 4]: token, bits of its log-prob, bits of the entropy, and its index among the slot's tokens. Token i is at i mod K. */
  readonly log: State;
}

/**
 * Books drawn tokens: each is written into the log and becomes the next that its slot feeds, one position further. A slot
 * is idle once its budget is spent or a stop token is drawn: that token is not fed, and may have no position left to be fed
 * at. Idle slots and rows without one change nothing; fed on, they feed what they fed last.
 *
 * Inside a compiled function, once per function: it assigns all states but `stops`.
 *
 * Shapes    token [N] u32, logprob and entropy [N] f32; slots [N] u32 or i32, each of 0 … S − 1 at most once.
 * Errors    `shape_mismatch`; `dtype_mismatch`; `state_conflict`.
 * Kernel    shaders/advance.wgsl, shaders/advance-log.wgsl
 */
export function advance(
  sampled: Pick<Sampled, "token" | "logprob" | "entropy">,
  slots: Tensor,
  states: SlotStates,
): void {
  checkStates(states);
  const { token, logprob, entropy } = sampled;
  const rows = [token, logprob, entropy, slots];
  if (rows.some((t) => t.rank !== 1 || t.size !== slots.size)) {
    throw new ForgeError({
      code: "shape_mismatch",
      what: "advance: token, logprob, entropy and slots do not fit together.",
      got: rows.map((t) => formatShape(t.shape)).join(" · "),
      fix: "pass vectors of one length: what sample gives, and the slots it was given",
    });
  }
  const drawn = [asIndices("advance", "slots", slots), asIndices("advance", "token", token)];
  const { tokens, positions, progress, stops, log } = states;
  // Made first, it reads the progress as it is before the update.
  assignAll(advanceLogOp, [...drawn, cast(logprob, "f32"), cast(entropy, "f32"), progress], [log]);
  assignAll(advanceOp, [...drawn, stops], [tokens, positions, progress]);
}

/** Makes an op that updates states, its last inputs. */
function assignAll(op: KernelOp, inputs: readonly Tensor[], states: readonly State[]): void {
  const node = makeNode(op, [...inputs, ...states], {}, states);
  states.forEach((state, i) => {
    state.assign(new Tensor(node, i));
  });
}

function checkStates(states: SlotStates): void {
  const count = states.tokens.size;
  const length = states.log.shape[1] ?? 0;
  const shapes = {
    tokens: [count],
    positions: [count],
    progress: [count, 2],
    stops: [count, 8],
    log: [count, Math.max(1, length), 4],
  } as const;
  for (const name of ["tokens", "positions", "progress", "stops", "log"] as const) {
    const { shape, dtype } = states[name];
    const wanted = shapes[name];
    if (dtype === "u32" && shape.join() === wanted.join()) continue;
    throw new ForgeError({
      code: dtype === "u32" ? "shape_mismatch" : "dtype_mismatch",
      what: `advance: state ${name} has another type than the slots need.`,
      got: `${formatShape(shape)} ${dtype}`,
      fix: `make it ${formatShape(wanted)} u32`,
    });
  }
}
