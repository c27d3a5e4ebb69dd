/** Whether a chunk comes in time. */
import type { ChunkHeader } from "../protocol/chunk-header.ts";
import { violation } from "./violation.ts";

/** Which try at which collective. */
export type RingPlace = Pick<ChunkHeader, "runId" | "epoch" | "op" | "attempt">;

/**
 * - `now`: it belongs to the attempt under way.
 * - `late`: to one that is over. To be dropped; there is nothing wrong with it.
 * - `early`: to one soon to come in this epoch, which a peer that was faster has begun. To be stashed.
 * - `ahead`: to a later epoch. To be dropped, and the leader asked which one it is.
 */
export type Arrival = "now" | "late" | "early" | "ahead";

/** Collectives, and attempts of one, by which a peer can be ahead. */
export const EARLY_WINDOW = 4;

/**
 * Compares a header with where this rank is: in a collective, or before the one that comes next.
 *
 * Errors    `protocol_violated` for another run, and for what lies beyond the window.
 */
export function arrivalOf(header: ChunkHeader, place: RingPlace): Arrival {
  if (header.runId !== place.runId) throw violation("it is of another run", header);
  if (header.epoch !== place.epoch) return header.epoch < place.epoch ? "late" : "ahead";
  const ahead = header.op === place.op ? header.attempt - place.attempt : header.op - place.op;
  if (ahead > EARLY_WINDOW) throw violation("it is from too far ahead", header);
  if (ahead === 0) return "now";
  return ahead < 0 ? "late" : "early";
}
