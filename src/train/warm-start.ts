/** A warm start: some steps of supervised learning on what an environment demonstrates, before rewards teach. */
import { ForgeError, Random } from "../../engine/index.ts";
import type { Demonstration, Environment } from "../agent/environment.ts";
import type { SftSample, SftStep, SftTrainer } from "./sft.ts";

/** Options of {@link warmStart}. */
export interface WarmStartOptions<Task> {
  readonly trainer: SftTrainer;
  readonly environment: Pick<Environment<Task>, "name" | "train" | "trainCount" | "demonstration">;
  /** A demonstration as tokens, see `sampleOfDemonstration`. */
  readonly toSample: (demonstration: Demonstration) => SftSample;
  /** Steps of the whole warm start. */
  readonly steps: number;
  /** Demonstrations of a step. */
  readonly batchSize: number;
  /** Of the order of tasks, of which the lower 32 bits count. Default 0. */
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
 * Errors    `argument_invalid` for an environment without demonstrations, and numbers that make no sense; those of
 *           `SftTrainer.step`.
 */
export async function* warmStart<Task>(
  options: WarmStartOptions<Task>,
): AsyncGenerator<WarmStartStep, void, undefined> {
  const { trainer, environment, toSample, steps, batchSize, seed = 0, from = 0 } = options;
  const { demonstration } = environment;
  if (!demonstration) throw undemonstrated(environment.name);
  checkNumbers({ steps, batchSize, from });
  const indexAt = taskOrder(environment.trainCount, seed);
  for (let done = from; done < steps; ) {
    const samples = Array.from({ length: batchSize }, (_, i) =>
      toSample(demonstration(environment.train(indexAt(done * batchSize + i)))),
    );
    const step = await trainer.step(samples);
    done++;
    yield { ...step, done };
  }
}

/** The task at each position of an endless series of passes over all, each in an order drawn from the seed and its number. */
export function taskOrder(count: number, seed: number): (position: number) => number {
  if (count === Number.POSITIVE_INFINITY) return (position) => position;
  const first = new Random(seed).bits();
  let known = { pass: -1, order: new Uint32Array(0) };
  return (position) => {
    const pass = Math.floor(position / count);
    if (pass !== known.pass) known = { pass, order: shuffled(count, new Random(first + pass)) };
    return known.order[position % count] as number;
  };
}

/** Numbers below `count` in a random order. Source: Fisher & Yates' shuffle, as in Knuth, TAOCP 2, 3.4.2, algorithm P. */
function shuffled(count: number, random: Random): Uint32Array<ArrayBuffer> {
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  for (let left = count; left > 1; left--) {
    const at = random.integer(left);
    const drawn = order[at] as number;
    order[at] = order[left - 1] as number;
    order[left - 1] = drawn;
  }
  return order;
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

function undemonstrated(name: string): ForgeError {
  return new ForgeError({
    code: "argument_invalid",
    what: `warmStart: environment "${name}" has no demonstrations.`,
    fix: "define `demonstration`, or leave the warm start out",
  });
}
