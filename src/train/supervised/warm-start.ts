/** A warm start: some steps of supervised learning on what an environment demonstrates, before rewards teach. */
import { ForgeError } from "../../../engine/index.ts";
import type { Environment } from "../../agent/environment.ts";
import { PURPOSE, smallSeedOf, TaskOrder } from "../seeds.ts";
import type { Demonstrations } from "./demonstrations.ts";
import type { SftStep, SftTrainer } from "./sft.ts";

/** Options of {@link warmStart}. */
export interface WarmStartOptions {
  readonly trainer: SftTrainer;
  readonly environment: Pick<Environment, "trainCount">;
  /** The samples of a task, by its number: see `demonstrationsOf`. */
  readonly demonstrations: Demonstrations;
  /** Steps of the whole warm start. */
  readonly steps: number;
  /** Demonstrations of a step. */
  readonly batchSize: number;
  /** Of the order of tasks. Default 0. */
  readonly seed?: number;
  /** Steps that are done already. Default 0. */
  readonly from?: number;
}

/** What a step of a warm start did. */
export interface WarmStartStep extends SftStep {
  /** Steps that are done now: `from` of what goes on behind it. */
  readonly done: number;
}

/**
 * Trains on the demonstrations of tasks, in an order of its own for each pass over them; those of a function in the order of
 * their numbers. Stop reading to stop.
 *
 * Which tasks a step takes follows from seed and number alone. To go on from a step as if nothing had happened, bring back
 * the weights and the optimizer's state behind it, and give its `done` as `from`.
 *
 * Errors    `argument_invalid` for numbers that make no sense; those of the demonstrations and of `SftTrainer.step`.
 */
export async function* warmStart(
  options: WarmStartOptions,
): AsyncGenerator<WarmStartStep, void, undefined> {
  const { trainer, environment, demonstrations, steps, batchSize, seed = 0, from = 0 } = options;
  checkNumbers({ steps, batchSize, from });
  const order = new TaskOrder(environment.trainCount, smallSeedOf(seed, PURPOSE.warmStart));
  for (let done = from; done < steps; ) {
    const samples = await Promise.all(
      Array.from({ length: batchSize }, (_, i) =>
        demonstrations(order.taskOf(done * batchSize + i)),
      ),
    );
    const step = await trainer.step(samples.flat());
    done++;
    yield { ...step, done };
  }
}

function checkNumbers(numbers: Readonly<Record<"steps" | "batchSize" | "from", number>>): void {
  for (const [name, value] of Object.entries(numbers)) {
    const least = name === "batchSize" ? 1 : 0;
    if (Number.isInteger(value) && value >= least) continue;
    throw new ForgeError({
      code: "argument_invalid",
      what: `warmStart: "${name}" cannot be used.`,
      got: String(value),
      why: `it is a whole number from ${least} on`,
      fix: "correct it",
    });
  }
}
