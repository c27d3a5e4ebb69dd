/** One update of several nodes is that of the sum of their gradients, clipped as the engine clips. */
import { expect, it } from "vitest";
import {
  AdamW,
  add,
  mul,
  parameter,
  slice,
  sum,
  type Tensor,
  tensor,
  type Watch,
} from "../../../engine/index.ts";
import { RingExchange } from "../../../src/train/cluster/ring-exchange.ts";
import { type BatchLoss, GradientStep } from "../../../src/train/learner/gradient-step.ts";
import { exchangeRings } from "../../support/exchange-rings.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";

const shared = await device();
const WORLD = 3;
/** Two parameters that are a piece each, of two buckets. */
const SIZE = 2 ** 18;
const LENGTH = 2 * SIZE;

interface Node {
  readonly optimizer: AdamW;
  readonly gradients: GradientStep<[Tensor], Tensor>;
}

/** Its steps are not the same for gradients of all sizes: ε is as large as they are. What is added is the gradient. */
function node(clipNorm?: number): Node {
  const parameters = ["a", "b"].map((name) => parameter([SIZE], 0.5, name));
  const optimizer = new AdamW(shared, parameters, {
    ...{ lr: 0.1, eps: 1 },
    ...(clipNorm !== undefined && { clipNorm }),
  });
  const lossOf = (gradient: Tensor): BatchLoss<Tensor> => {
    const loss = add(
      ...(parameters.map((p, i) => sum(mul(p, slice(gradient, 0, i * SIZE, (i + 1) * SIZE)))) as [
        Tensor,
        Tensor,
      ]),
    );
    return { loss, result: loss };
  };
  const gradients = new GradientStep(optimizer, "test", lossOf, 2 ** 18);
  return { optimizer, gradients };
}

/** Compared so because half a million elements take the usual way seconds. */
function isSame(a: Float32Array, b: Float32Array): boolean {
  return Buffer.from(a.buffer).equals(Buffer.from(b.buffer));
}

function sumOf(gradients: readonly Float32Array[]): Float32Array {
  return Float32Array.from({ length: LENGTH }, (_, i) =>
    gradients.reduce((all, own) => all + (own[i] as number), 0),
  );
}

/** What the sum may be off by: a rounding of each contribution, and one of each partial sum. */
const WIRES = { f32: 1e-6, bf16: 2 ** -7, int8: 2 / 127 } as const;

it.each([
  ["zero1", "f32", 2.5],
  ["ddp", "f32", 2.5],
  ["zero1", "f32", undefined],
  ["zero1", "bf16", 2.5],
  ["ddp", "int8", undefined],
  ["zero1", "int8", 2.5],
] as const)("%s as %s, clipped to a norm of %s", async (sync, wire, clipNorm) => {
  const random = randoms(11);
  const parts = Array.from({ length: WORLD }, () =>
    Array.from({ length: 2 }, () => random.floats(LENGTH)),
  );
  // one node has no share
  parts[1] = [];
  const total = sumOf(parts.flat());
  const alone = node(clipNorm);
  await alone.gradients.add(tensor(total));
  const { gradNorm: norm } = await alone.gradients.step();
  const expected = (await alone.optimizer.flat.flat.read()) as Float32Array;
  const nodes = await Promise.all(
    (await exchangeRings(WORLD)).map(async (ring, rank) => {
      const own = node();
      const exchange = new RingExchange({ sync, wire, ...(clipNorm && { clipNorm }) });
      exchange.attach(own.optimizer);
      exchange.enter(ring, new AbortController().signal);
      expect(exchange.parameters).toBeUndefined();
      const update = await exchange.begin(own.gradients);
      const [first, last] = parts[rank] as Float32Array[];
      if (first) await own.gradients.add(tensor(first));
      if (last) await own.gradients.addLast(update.watch as Watch, tensor(last));
      expect(await update.added()).toBe(true);
      const stepped = await update.step();
      expect(Math.abs(stepped - norm)).toBeLessThan(WIRES[wire] * norm);
      const flat = (await own.optimizer.flat.flat.read()) as Float32Array;
      expect(isSame(exchange.parameters as Float32Array, flat)).toBe(true);
      return flat;
    }),
  );
  const scale = clipNorm === undefined ? 1 : Math.min(1, clipNorm / norm);
  for (const flat of nodes) {
    // a step is not longer than lr times what the gradient is off by
    expectClose(flat, expected, { abs: 1e-7 + 0.1 * 4 * scale * WIRES[wire], rel: 1e-6 });
    expect(isSame(flat, nodes[0] as Float32Array)).toBe(true);
  }
});

it.each(["f32", "bf16", "int8"] as const)(
  "gives zeros for %s that cannot be added up, and says so",
  async (wire) => {
    const nodes = await Promise.all(
      (await exchangeRings(WORLD)).map(async (ring, rank) => {
        const own = node();
        const exchange = new RingExchange({ sync: "zero1", wire });
        exchange.attach(own.optimizer);
        exchange.enter(ring, new AbortController().signal);
        const update = await exchange.begin(own.gradients);
        const gradient = new Float32Array(LENGTH).fill(1);
        if (rank === 2) gradient[300_000] = 2 ** 112;
        await own.gradients.addLast(update.watch as Watch, tensor(gradient));
        const isSound = await update.added();
        expect(Number.isFinite(await update.step())).toBe(true);
        return isSound;
      }),
    );
    expect(nodes).toEqual([true, true, false]);
  },
);
