/** What the worker tells of CartPole, and what both sides know. */

/** Steps of a run, of all carts together. */
export const TOTAL_STEPS = 100_000;
/** Updates that the shown return is the mean of. */
export const SMOOTHED = 10;

/** A moment of all carts. */
export interface Frame {
  /** [N] Metres from the middle of the track. */
  readonly positions: readonly number[];
  /** [N] Radians from the vertical. */
  readonly angles: readonly number[];
  /** Carts whose episode has just ended: where they were then. */
  readonly ended: readonly EndedCart[];
}

export interface EndedCart {
  readonly cart: number;
  readonly position: number;
  readonly angle: number;
  /** Whether it stood to the end of its time. */
  readonly hasStood: boolean;
}

/** Mean return of the episodes that ended within an update. */
export interface ReturnPoint {
  /** Steps of all carts by then. */
  readonly steps: number;
  readonly meanReturn: number;
}

export type CartPoleProgress =
  /** The whole curve so far: when training is opened. */
  | { readonly kind: "history"; readonly points: readonly ReturnPoint[]; readonly at: CartPoleAt }
  /** An update: what was played for it, and what it came to. */
  | {
      readonly kind: "update";
      readonly at: CartPoleAt;
      readonly point: ReturnPoint | undefined;
      readonly frames: readonly Frame[];
    }
  /** A moment of the policy at play; `seconds` that the pole is up. */
  | { readonly kind: "play"; readonly frame: Frame; readonly seconds: number };

export interface CartPoleAt {
  readonly steps: number;
  readonly totalSteps: number;
  /** Time spent on training, in seconds. */
  readonly seconds: number;
}
