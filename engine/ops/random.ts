/** Random tensors from a counter-based generator. */
import { ForgeError } from "../error.ts";
import { emitDispatch } from "../graph/dispatch.ts";
import type { KernelOp } from "../graph/kernel.ts";
import { type Shape, sizeOf } from "../tensor/shape.ts";
import { activeTrace, State } from "../tensor/state.ts";
import { makeTensor, type Tensor, tensor } from "../tensor/tensor.ts";
import { add } from "./elementwise.ts";
import { fillRandom, type RandomKind, streamWords } from "./random-variants.ts";

/** Inputs stream, call. Attributes: kind. */
const randomOp: KernelOp = {
  name: "random",
  kind: "kernel",
  lower: (context, node) => {
    const kind = node.attributes["kind"] as RandomKind;
    const count = sizeOf(node.outputs[0]?.shape ?? []);
    if (count === 0) return;
    emitDispatch(context, fillRandom(kind, count), {
      bindings: [context.input(0).slot, context.input(1).slot, context.output(0).slot],
    });
  },
};

/** Call number of draws outside of compiled functions. */
const noCall = tensor(new Uint32Array(1));

/**
 * A source of random tensors: Philox4x32-10, equal on every adapter (bits and uniforms to the last bit).
 *
 * Each draw is a stream of its own, numbered in program order. Inside a compiled function a draw is made anew by every
 * call: streams are fixed when the function is traced, and {@link calls}, which each call advances by one, is the second
 * half of the counter. So numbers depend on (seed, program, number of the call) alone. A draw outside of a compiled
 * function is one fixed tensor, however often it is read.
 *
 * Kernel    shaders/random.wgsl              Source  Salmon et al. 2011, doi:10.1145/2063384.2063405, §3.3
 */
export class Generator {
  readonly seed: number;
  /** Calls so far of the compiled functions that draw, a u32 [1]: save it and write it back to go on where a run stopped. */
  readonly calls: State;
  #draws = 0;

  /** Errors: `argument_invalid` unless the seed is an integer from 0 to 2^53 − 1. */
  constructor(seed: number) {
    if (!(Number.isSafeInteger(seed) && seed >= 0)) {
      throw new ForgeError({
        code: "argument_invalid",
        what: "Generator: the seed is no whole number from 0 to 2^53 − 1.",
        got: String(seed),
        fix: "use for instance 0, or a hash of a name",
      });
    }
    this.seed = seed;
    this.calls = new State([1], "u32", 0, `calls of generator ${seed}`);
  }

  /** Uniform in [0, 1), in steps of 2^-24. */
  uniform(shape: Shape): Tensor {
    return this.#draw("uniform", shape);
  }

  /** Standard normal (Box & Muller 1958). */
  normal(shape: Shape): Tensor {
    return this.#draw("normal", shape);
  }

  /** Standard Gumbel: `argMax(logits + gumbel)` is a sample of softmax(logits). */
  gumbel(shape: Shape): Tensor {
    return this.#draw("gumbel", shape);
  }

  /** 32 random bits an element, u32. */
  bits(shape: Shape): Tensor {
    return this.#draw("bits", shape);
  }

  #draw(kind: RandomKind, shape: Shape): Tensor {
    const trace = activeTrace();
    if (trace && !trace.assignments.has(this.calls)) this.calls.assign(add(this.calls, 1));
    const stream = tensor(streamWords(this.seed, this.#draws++));
    const dtype = kind === "bits" ? "u32" : "f32";
    return makeTensor(randomOp, [stream, trace ? this.calls : noCall], { kind }, { shape, dtype });
  }
}
