/** A penalty for answers that come close to the limit of their length. */
import { ForgeError } from "../../../engine/error.ts";

/** Options of {@link overlongPenalty}. */
export interface OverlongOptions {
  /** Length in tokens at which the whole penalty is due. */
  readonly maxLength: number;
  /** Tokens before that over which it rises from 0. The recipe has 4,096. */
  readonly buffer: number;
  /** Default 1. */
  readonly penalty?: number;
}

/**
 * min(0, −(length − (maxLength − buffer)) / buffer·penalty), to be added to the reward (DAPO, Yu et al. 2025,
 * arXiv:2503.14476, eq. 13, as in verl: beyond `maxLength` the penalty goes on rising).
 *
 * @throws ForgeError `argument_invalid` unless 0 < buffer ≤ maxLength, penalty ≥ 0 and length ≥ 0
 */
export function overlongPenalty(length: number, options: OverlongOptions): number {
  const { maxLength, buffer, penalty = 1 } = options;
  const isSane = buffer > 0 && buffer <= maxLength && maxLength < Infinity;
  if (!isSane || !(penalty >= 0 && penalty < Infinity) || !(length >= 0 && length < Infinity)) {
    throw new ForgeError({
      code: "argument_invalid",
      what: "overlong penalty: settings contradict each other",
      got: `length ${length}, maxLength ${maxLength}, buffer ${buffer}, penalty ${penalty}`,
      fix: "give a buffer above 0 and up to maxLength, and a penalty and a length of 0 or more",
    });
  }
  const excess = length - (maxLength - buffer);
  return excess > 0 ? (-excess / buffer) * penalty : 0;
}
