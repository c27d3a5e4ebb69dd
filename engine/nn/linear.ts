/** Affine maps and lookup tables. */
import { add } from "../ops/elementwise.ts";
import { embedding } from "../ops/embedding.ts";
import { matmul } from "../ops/matmul.ts";
import type { WeightDType } from "../tensor/dtype.ts";
import { parameter, type State } from "../tensor/state.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { LowRankAdapter } from "./adapter.ts";
import { constantInit, type Init, kaimingUniformInit, normalInit } from "./init.ts";
import type { Random } from "./random.ts";

/** Options of {@link Linear}. */
export interface LinearOptions {
  readonly inputs: number;
  readonly outputs: number;
  /** Whether a vector is added. Default true. */
  readonly hasBias?: boolean;
  /** How the weight starts. Default: uniform in ±1/√inputs. */
  readonly init?: Init;
  /** How the bias starts. Default: zeros. */
  readonly biasInit?: Init;
  /** What the weight is held in. Default `f32`. */
  readonly dtype?: WeightDType;
}

/** y = x · weight + bias. */
export class Linear {
  /** [inputs, outputs]. */
  readonly weight: State;
  /** [outputs]. */
  readonly bias: State | undefined;
  /** What is added to x · weight, for fine-tuning. */
  adapter: LowRankAdapter | undefined;

  constructor(random: Random, options: LinearOptions) {
    const { inputs, outputs, hasBias = true, dtype = "f32" } = options;
    const { init = kaimingUniformInit(Math.sqrt(1 / 3)), biasInit = constantInit(0) } = options;
    this.weight = parameter([inputs, outputs], init([inputs, outputs], random), "", dtype);
    this.bias = hasBias ? parameter([outputs], biasInit([outputs], random), "") : undefined;
  }

  /** x [..., inputs] → [..., outputs]. Errors: `shape_mismatch`. */
  forward(x: Tensor): Tensor {
    const product = matmul(x, this.weight);
    const y = this.adapter ? add(product, this.adapter.forward(x)) : product;
    return this.bias ? add(y, this.bias) : y;
  }
}

/** Options of {@link Embedding}. */
export interface EmbeddingOptions {
  /** Rows of the table. */
  readonly count: number;
  readonly width: number;
  /** Default: normal with standard deviation 0.02. */
  readonly init?: Init;
  /** What the table is held in. Default `f32`. */
  readonly dtype?: WeightDType;
}

/** Rows of a table by id. */
export class Embedding {
  /** [count, width]. */
  readonly weight: State;

  constructor(random: Random, options: EmbeddingOptions) {
    const { count, width, init = normalInit(0.02), dtype = "f32" } = options;
    this.weight = parameter([count, width], init([count, width], random), "", dtype);
  }

  /** ids [...] u32 or i32 → [..., width]. Errors: `dtype_mismatch`; `index_out_of_range` at the next read. */
  forward(ids: Tensor): Tensor {
    return embedding(ids, this.weight);
  }
}
