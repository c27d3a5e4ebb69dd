/** The steps of a trainer that is alone. */
import type { Stepper } from "./stepper.ts";
import type { StepReport, Trainer, TrainerSnapshot } from "./trainer.ts";
import type { OnPhase } from "./training.ts";

/** See the file's head. */
export class LoneSteps implements Stepper {
  readonly #trainer: Trainer<unknown>;

  constructor(trainer: Trainer<unknown>) {
    this.#trainer = trainer;
  }

  get steps(): number {
    return this.#trainer.steps;
  }

  get lagBound(): number {
    return this.#trainer.lag.steps.bound;
  }

  /** As `Trainer.resume`. */
  resume(): Promise<void> {
    return this.#trainer.resume();
  }

  step(onPhase: OnPhase): Promise<StepReport> {
    onPhase("sampling");
    return this.#trainer.step(undefined, () => onPhase("training"));
  }

  checkpoint(): Promise<TrainerSnapshot> {
    return this.#trainer.checkpoint();
  }

  close(): Promise<void> {
    return this.#trainer.close();
  }
}
