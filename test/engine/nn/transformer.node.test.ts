import { beforeAll, describe, expect, it } from "vitest";
import {
  AdamW,
  chainForest,
  compile,
  type Device,
  grad,
  namedParameters,
  Random,
  type Tensor,
  Transformer,
  tensor,
} from "../../../engine/index.ts";
import {
  decoderBatch,
  decoderOptions,
  decoderWeights,
  PEERS_DECODER,
} from "../../support/decoder.ts";
import { device } from "../../support/gpu.ts";

let shared: Device;
beforeAll(async () => {
  shared = await device();
});

describe("Transformer", () => {
  // Golden: measured with TensorFlow.js 4.22 (WebGPU) and jax-js 0.1.25 on the same weights and batch: the first loss and norm
  // are those of both, and of central differences; after 12 steps of AdamW at 1e-3 they are at 3.80059 and 3.80055.
  it("starts and trains as the decoder of 842,496 parameters does in other engines", async () => {
    const model = new Transformer(new Random(1), decoderOptions(PEERS_DECODER));
    const parameters = namedParameters(model);
    const weights = decoderWeights(PEERS_DECODER);
    expect([...parameters.keys()].sort()).toEqual([...weights.keys()].sort());
    for (const [name, state] of parameters) state.write(shared, weights.get(name) as Float32Array);
    const optimizer = new AdamW(shared, [...parameters.values()], { lr: 1e-3 });
    expect(optimizer.parameters.reduce((n, p) => n + p.size, 0)).toBe(842_496);

    const { sequences, length } = PEERS_DECODER;
    const forest = chainForest(new Array<number>(sequences).fill(length));
    const step = compile(
      (tokens: Tensor, labels: Tensor) => {
        const loss = model.score(tokens, labels, forest).logprob.mean().neg();
        const { gradNorm } = optimizer.step(grad(loss, optimizer.parameters));
        return { loss, gradNorm };
      },
      { label: "train" },
    );
    const { tokens, labels } = decoderBatch(PEERS_DECODER);
    const losses: number[] = [];
    for (let n = 0; n < 12; n++) {
      const { loss, gradNorm } = await step(tensor(tokens), tensor(labels));
      losses.push(await loss.item());
      if (n === 0) expect(Math.abs((await gradNorm.item()) - 1.25687)).toBeLessThan(1e-4);
    }
    expect(Math.abs((losses[0] as number) - 5.56816)).toBeLessThan(2e-5);
    expect(Math.abs((losses.at(-1) as number) - 3.80059)).toBeLessThan(2e-4);
  });
});
