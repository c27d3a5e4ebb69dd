import { beforeAll, describe, expect, test } from "vitest";
import {
  AdamW,
  chainForest,
  compile,
  type Device,
  grad,
  type HostArray,
  parametersOf,
  Random,
  type Tensor,
  Transformer,
  tensor,
} from "../../../engine/index.ts";
import { decoderBatch, decoderOptions, TINY_DECODER } from "../../support/decoder.ts";
import { evaluate } from "../../support/evaluate.ts";
import { device } from "../../support/gpu.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

const { sequences, length } = TINY_DECODER;
const LENGTHS = new Array<number>(sequences).fill(length);
const { tokens, labels } = decoderBatch(TINY_DECODER);
const batch = [tensor(tokens), tensor(labels)] as const;

function lossOf(model: Transformer, x: Tensor, y: Tensor): Tensor {
  return model.score(x, y, chainForest(LENGTHS)).logprob.mean().neg();
}

/** Losses of five steps, and every parameter after them. */
async function train(seed: number): Promise<{ losses: HostArray[]; parameters: HostArray[] }> {
  const model = new Transformer(new Random(seed), decoderOptions(TINY_DECODER));
  const optimizer = new AdamW(gpu, parametersOf(model), { lr: 1e-2, clipNorm: 1 });
  using step = compile((x: Tensor, y: Tensor) => {
    const loss = lossOf(model, x, y);
    optimizer.step(grad(loss, optimizer.parameters));
    return loss;
  });
  const losses: HostArray[] = [];
  for (let n = 0; n < 5; n++) losses.push(await (await step(...batch)).read());
  const parameters: HostArray[] = [];
  for (const p of parametersOf(model)) parameters.push(await p.read());
  return { losses, parameters };
}

describe("training a decoder", () => {
  test("gives the same bits twice with one seed, and others with another", async () => {
    const first = await train(7);
    expect(await train(7)).toEqual(first);
    expect((await train(8)).losses).not.toEqual(first.losses);
  });

  test("gives the same bits in one plan, over poisoned memory, and value by value", async () => {
    const model = new Transformer(new Random(3), decoderOptions(TINY_DECODER));
    const parameters = parametersOf(model);
    const all = (x: Tensor, y: Tensor): Tensor[] => {
      const loss = lossOf(model, x, y);
      return [loss, ...grad(loss, parameters)];
    };
    using run = compile(all);
    const results = await run(...batch);
    const { values } = await evaluate(gpu, () =>
      Object.fromEntries(all(...batch).map((t, i) => [`${i}`, t])),
    );
    const alone = all(...batch);
    for (const [i, result] of results.entries()) {
      const bits = await result.read();
      expect(values[`${i}`], `value ${i} over poison`).toEqual(bits);
      if (i % 5 === 0) expect(await alone[i]?.read(), `value ${i} alone`).toEqual(bits);
    }
  });
});
