/** Learning-rate schedules: the rate of each step, 0 for the first. */

/** Learning rate of a step. */
export type Schedule = (step: number) => number;

/** The same rate at every step. */
export function constant(lr: number): Schedule {
  return () => lr;
}

/** Options of schedules with a warm-up. */
export interface ScheduleOptions {
  /** Highest rate. */
  readonly lr: number;
  /** Steps over which the rate rises linearly from `lr / warmupSteps`. Default 0. */
  readonly warmupSteps?: number;
  /** Step at which the rate has fallen to `finalLr`; it stays there. */
  readonly totalSteps: number;
  /** Default 0. */
  readonly finalLr?: number;
}

function withWarmup(options: ScheduleOptions, decay: (progress: number) => number): Schedule {
  const { lr, warmupSteps = 0, totalSteps, finalLr = 0 } = options;
  return (step) => {
    if (step < warmupSteps) return (lr * (step + 1)) / warmupSteps;
    const progress = Math.min(1, (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps));
    return finalLr + (lr - finalLr) * decay(progress);
  };
}

/** Warm-up, then half a cosine down to the final rate (Loshchilov & Hutter 2017, arXiv:1608.03983, eq. 5 without restarts). */
export function cosine(options: ScheduleOptions): Schedule {
  return withWarmup(options, (p) => 0.5 * (1 + Math.cos(Math.PI * p)));
}

/** Warm-up, then a straight line down to the final rate. */
export function linear(options: ScheduleOptions): Schedule {
  return withWarmup(options, (p) => 1 - p);
}
