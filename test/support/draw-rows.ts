/** Rows of logits and the tokens that the engine draws from them. */
import {
  type Device,
  type SamplingOptions,
  sample,
  samplingWords,
  tensor,
} from "../../engine/index.ts";
import { evaluate, type KernelClass } from "./evaluate.ts";

/** A row: its logits, and the settings and the position of its slot. */
export interface Row {
  readonly logits: ArrayLike<number>;
  readonly options?: SamplingOptions;
  readonly position?: number;
}

/** What came of rows. */
export interface Drawn {
  readonly tokens: readonly number[];
  readonly logprob: Float32Array;
  readonly entropy: Float32Array;
  readonly logSumExp: Float32Array;
}

/** Draws a token for each row; row i belongs to slot `slotOf(i)`. */
export async function draw(
  gpu: Device,
  rows: readonly Row[],
  kernels?: KernelClass,
  slotOf: (row: number) => number = (row) => row,
): Promise<Drawn> {
  const cols = rows[0]?.logits.length ?? 1;
  const slots = Uint32Array.from(rows, (_, i) => slotOf(i));
  const count = Math.max(...slots) + 1;
  const settings = new Uint32Array(8 * count);
  const positions = new Uint32Array(count);
  const logits = new Float32Array(rows.length * cols);
  rows.forEach((row, i) => {
    settings.set(samplingWords(row.options), 8 * slotOf(i));
    positions[slotOf(i)] = row.position ?? 0;
    logits.set(row.logits, i * cols);
  });
  const inputs = {
    slots: tensor(slots),
    settings: tensor(settings, [count, 8]),
    positions: tensor(positions),
  };
  const { values } = await evaluate(
    gpu,
    () => ({ ...sample(tensor(logits, [rows.length, cols]), inputs) }),
    kernels,
  );
  return {
    tokens: [...values.token],
    logprob: values.logprob as Float32Array,
    entropy: values.entropy as Float32Array,
    logSumExp: values.logSumExp as Float32Array,
  };
}
