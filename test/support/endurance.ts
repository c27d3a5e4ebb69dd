/** Training for many steps, watching what stays behind. */
import {
  AdamW,
  chainForest,
  compile,
  type Device,
  grad,
  parametersOf,
  Random,
  type Tensor,
  Transformer,
  tensor,
} from "../../engine/index.ts";
import { decoderBatch, decoderOptions, TINY_DECODER } from "./decoder.ts";

/** What lives at one moment, in bytes. */
export interface Footprint {
  readonly gpu: number;
  /** Heap and array buffers of JavaScript after a collection; 0 where none can be asked for. */
  readonly host: number;
}

/** Collects garbage and takes the footprint. */
async function footprint(device: Device): Promise<Footprint> {
  await device.idle();
  const { gc } = globalThis as { gc?: () => void };
  if (!gc) return { gpu: device.liveBytes, host: 0 };
  // finalizers of GPU objects run between turns, and free what the next collection finds
  for (let i = 0; i < 4; i++) {
    gc();
    await new Promise((resolve) => {
      setTimeout(resolve, 5);
    });
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return { gpu: device.liveBytes, host: heapUsed + arrayBuffers };
}

/** The footprint early in a training of `steps` steps, at its end, and after everything of it is disposed. */
export interface Endurance {
  readonly start: Footprint;
  readonly early: Footprint;
  readonly end: Footprint;
  readonly after: Footprint;
}

/** Trains a tiny decoder: new host data for each step, a loss read at each. */
export async function trainFor(device: Device, steps: number, early: number): Promise<Endurance> {
  const start = await footprint(device);
  const { sequences, length } = TINY_DECODER;
  const lengths = new Array<number>(sequences).fill(length);
  const model = new Transformer(new Random(1), decoderOptions(TINY_DECODER));
  const optimizer = new AdamW(device, parametersOf(model), { lr: 1e-3, clipNorm: 1 });
  const step = compile((x: Tensor, y: Tensor) => {
    const loss = model.score(x, y, chainForest(lengths)).logprob.mean().neg();
    return { loss, ...optimizer.step(grad(loss, optimizer.parameters)) };
  });
  const { tokens, labels } = decoderBatch(TINY_DECODER);
  const run = async (count: number): Promise<void> => {
    for (let n = 0; n < count; n++) {
      const { loss, gradNorm } = await step(tensor(tokens.slice()), tensor(labels.slice()));
      await loss.item();
      if (n % 10 === 0) await loss.add(gradNorm).item();
    }
  };
  await run(early);
  const first = await footprint(device);
  await run(steps - early);
  const end = await footprint(device);
  step[Symbol.dispose]();
  const parameters = parametersOf(model);
  optimizer[Symbol.dispose]();
  for (const p of parameters) p[Symbol.dispose]();
  return { start, early: first, end, after: await footprint(device) };
}
