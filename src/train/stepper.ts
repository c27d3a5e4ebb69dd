/** Whatever makes the steps of a reinforcement learning run, alone or with others. */
import type { StepReport, TrainerSnapshot } from "./trainer.ts";
import type { OnPhase } from "./training.ts";

/** See the file's head. */
export interface Stepper {
  /** Steps so far. */
  readonly steps: number;
  /** Steps that weights may be older at most, where that is known. */
  readonly lagBound: number | undefined;
  /** Errors: those of `Trainer.step`. */
  step(onPhase: OnPhase): Promise<StepReport>;
  /**
   * Puts on the GPU what checkpoints hold, where that is something else than what the next step goes on with: until then. It is what
   * evaluations play with.
   */
  present?(): Promise<void>;
  /** As `Trainer.checkpoint`. */
  checkpoint(): Promise<TrainerSnapshot>;
  /** Ends the episodes under way. */
  close(): Promise<void>;
}
