/** Normalization layers. */
import { layerNorm } from "../ops/layer-norm.ts";
import { rmsNorm } from "../ops/rms-norm.ts";
import { parameter, type State } from "../tensor/state.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** Options of {@link LayerNorm} and {@link RmsNorm}. */
export interface NormOptions {
  readonly width: number;
  /** Added inside the root. Default 1e-5. */
  readonly eps?: number;
}

/** Options of {@link RmsNorm}. */
export interface RmsNormLayerOptions extends NormOptions {
  /** Added to the weight, which then starts at 1 − offset. Default 0; Gemma's weights are differences from 1. */
  readonly offset?: number;
}

/** Layer normalization with scale and shift. Source: Ba, Kiros & Hinton 2016, arXiv:1607.06450. */
export class LayerNorm {
  /** Scale [width], ones at first. */
  readonly weight: State;
  /** Shift [width], zeros at first. */
  readonly bias: State;
  readonly eps: number;

  constructor({ width, eps = 1e-5 }: NormOptions) {
    this.weight = parameter([width], 1, "");
    this.bias = parameter([width], 0, "");
    this.eps = eps;
  }

  /** [..., width] → the same. Errors: `shape_mismatch`. */
  forward(x: Tensor): Tensor {
    return layerNorm(x, this.weight, { bias: this.bias, eps: this.eps });
  }
}

/** Root-mean-square normalization with scale. Source: Zhang & Sennrich 2019, arXiv:1910.07467. */
export class RmsNorm {
  /** Scale [width] less the offset: the two are 1 at first. */
  readonly weight: State;
  readonly eps: number;
  readonly offset: number;

  constructor({ width, eps = 1e-5, offset = 0 }: RmsNormLayerOptions) {
    this.weight = parameter([width], 1 - offset, "");
    this.eps = eps;
    this.offset = offset;
  }

  /** [..., width] → the same. Errors: `shape_mismatch`. */
  forward(x: Tensor): Tensor {
    return rmsNorm(x, this.weight, { eps: this.eps, weightOffset: this.offset });
  }
}
