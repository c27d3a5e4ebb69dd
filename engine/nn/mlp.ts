/** The position-wise part of a transformer layer. */
import { gelu } from "../ops/elementwise.ts";
import { packedGeglu, packedSwiglu } from "../ops/gated.ts";
import type { WeightDType } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Init } from "./init.ts";
import { Linear } from "./linear.ts";
import type { Random } from "./random.ts";

/** Options of {@link Mlp} and {@link GatedMlp}. */
export interface MlpOptions {
  readonly width: number;
  /** Width in between. */
  readonly hidden: number;
  /** Whether both projections have a bias. Default true. */
  readonly hasBias?: boolean;
  /** How the first projection starts; and the last. Default: {@link Linear}'s. */
  readonly init?: Init;
  readonly outputInit?: Init;
  /** What the matrices are held in. Default `f32`. */
  readonly dtype?: WeightDType;
}

/** Options of {@link GatedMlp}. */
export interface GatedMlpOptions extends MlpOptions {
  /** What the gate passes through. Default `silu`. */
  readonly activation?: "silu" | "gelu";
}

function projections(
  random: Random,
  { width, hidden, hasBias = true, init, outputInit, dtype = "f32" }: MlpOptions,
  parts: number,
): [first: Linear, last: Linear] {
  return [
    new Linear(random, {
      inputs: width,
      outputs: parts * hidden,
      hasBias,
      dtype,
      ...(init ? { init } : {}),
    }),
    new Linear(random, {
      inputs: hidden,
      outputs: width,
      hasBias,
      dtype,
      ...(outputInit ? { init: outputInit } : {}),
    }),
  ];
}

/** gelu(x · up) · down. */
export class Mlp {
  readonly up: Linear;
  readonly down: Linear;

  constructor(random: Random, options: MlpOptions) {
    [this.up, this.down] = projections(random, options, 1);
  }

  /** [..., width] → the same. Errors: `shape_mismatch`. */
  forward(x: Tensor): Tensor {
    return this.down.forward(gelu(this.up.forward(x)));
  }
}

/** (activation(gate) · up) · down, where x · gateUp is gate and up side by side. Source: Shazeer 2020, arXiv:2002.05202. */
export class GatedMlp {
  /** [width, 2 · hidden]: gate, then up. */
  readonly gateUp: Linear;
  readonly down: Linear;
  readonly #activation: "silu" | "gelu";

  constructor(random: Random, options: GatedMlpOptions) {
    [this.gateUp, this.down] = projections(random, options, 2);
    this.#activation = options.activation ?? "silu";
  }

  /** [..., width] → the same. Errors: `shape_mismatch`. */
  forward(x: Tensor): Tensor {
    const both = this.gateUp.forward(x);
    return this.down.forward(this.#activation === "silu" ? packedSwiglu(both) : packedGeglu(both));
  }
}
