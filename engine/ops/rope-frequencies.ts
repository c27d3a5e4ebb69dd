/**
 * Frequencies of the rotary position embedding, and their exact form for `shaders/rope.wgsl`.
 */
import { ForgeError } from "../error.ts";

/** How a model stretches its frequencies to longer contexts than it was trained on first. */
export type RopeScaling =
  | { readonly kind: "linear"; readonly factor: number }
  | {
      readonly kind: "llama3";
      readonly factor: number;
      readonly lowFrequencyFactor: number;
      readonly highFrequencyFactor: number;
      readonly originalContext: number;
    };

/** What frequencies are made from. */
export interface RopeFrequencyOptions {
  /** How many numbers of a head are rotated: even. */
  readonly rotarySize: number;
  /** Base of the geometric series. Default 10,000. */
  readonly theta?: number;
  readonly scaling?: RopeScaling;
}

/**
 * Radians per position of each pair: theta^(-2i / rotarySize), then scaled.
 *
 * `linear` divides every frequency by the factor (Chen et al. 2023, arXiv:2306.15595, §2.3). `llama3` leaves waves shorter
 * than originalContext / highFrequencyFactor, divides those longer than originalContext / lowFrequencyFactor, and blends
 * linearly in between (Hugging Face transformers, `modeling_rope_utils.py`, `_compute_llama3_parameters`).
 *
 * Errors    `argument_invalid` when rotarySize is not even and positive, or a number is not positive.
 */
export function ropeFrequencies(options: RopeFrequencyOptions): Float64Array {
  const { rotarySize, theta = 10_000, scaling } = options;
  if (!Number.isInteger(rotarySize) || rotarySize < 2 || rotarySize % 2 !== 0) {
    throw invalid(`rotarySize ${rotarySize}`, "use an even number of at least 2");
  }
  if (!(theta > 0)) throw invalid(`theta ${theta}`, "use a positive base, 10000 for most models");
  if (scaling && !(scaling.factor > 0))
    throw invalid(`factor ${scaling.factor}`, "use a positive factor");
  return Float64Array.from({ length: rotarySize / 2 }, (_, i) =>
    scaled(theta ** ((-2 * i) / rotarySize), scaling),
  );
}

function scaled(frequency: number, scaling: RopeScaling | undefined): number {
  if (!scaling) return frequency;
  if (scaling.kind === "linear") return frequency / scaling.factor;
  const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalContext } = scaling;
  const turns = (originalContext * frequency) / (2 * Math.PI);
  if (turns < low) return frequency / factor;
  if (turns > high) return frequency;
  const blend = (turns - low) / (high - low);
  return (1 - blend) * (frequency / factor) + blend * frequency;
}

/**
 * Frequencies as the kernel reads them: fractions of a turn per position as 64-bit fixed point, all high words first,
 * then all low words. Whole turns drop out of every product with a position, and the fraction wraps in integers, so the
 * kernel's angles are as exact at position 1,000,000 as at 1.
 */
export function packFrequencies(frequencies: ArrayLike<number>): Uint32Array {
  const pairs = frequencies.length;
  const packed = new Uint32Array(2 * pairs);
  for (let i = 0; i < pairs; i++) {
    const turns = Number(frequencies[i]) / (2 * Math.PI);
    const shifted = (turns - Math.floor(turns)) * 2 ** 32;
    const high = Math.floor(shifted);
    packed[i] = high;
    packed[pairs + i] = Math.floor((shifted - high) * 2 ** 32);
  }
  return packed;
}

function invalid(got: string, fix: string): ForgeError {
  return new ForgeError({
    code: "argument_invalid",
    what: "rope frequencies: bad option.",
    got,
    fix,
  });
}
