/** Environments that step together, in Gymnasium's words. */

/** What a step of all environments gave; row n belongs to environment n. */
export interface VectorStep {
  /** [N, D] What to act on next: that of a new episode where one has ended. */
  readonly observations: Float32Array;
  /** [N] */
  readonly rewards: Float64Array;
  /** [N] Whether the episode reached an end of its own: nothing is worth anything behind it. */
  readonly terminated: readonly boolean[];
  /** [N] Whether the episode was cut off, by a limit on its length: it would have gone on. */
  readonly truncated: readonly boolean[];
  /** [N, D] What the step led to. It differs from `observations` only where an episode has ended. */
  readonly finalObservations: Float32Array;
}

/**
 * N copies of an environment with D numbers to observe and a choice of A actions.
 *
 * An episode that has ended is followed by a new one within the same step (Gymnasium's `AutoresetMode.SAME_STEP`). What is
 * given stays as it is: later steps write into arrays of their own. All randomness comes from the seed of `reset`.
 */
export interface VectorEnvironment {
  /** N. */
  readonly numEnvs: number;
  /** D. */
  readonly observationSize: number;
  /** A. */
  readonly numActions: number;
  /** Begins anew in all environments; the lower 32 bits of the seed count. Gives the observations [N, D]. */
  reset(seed: number): Float32Array;
  /** One action, from 0 to A − 1, for each environment. */
  step(actions: ArrayLike<number>): VectorStep;
  /** All that `restore` needs, as plain data: numbers, strings, arrays and typed arrays. */
  save(): unknown;
  /** Goes on from what `save` of such an environment gave, bit for bit. */
  restore(state: unknown): void;
}
