/** One update of several nodes is that of the sum of their gradients, clipped as the engine clips. */
import { afterEach, expect, it } from "vitest";
import { Collectives, RingPlane, Token } from "../../../cluster/index.ts";
import { AdamW, compile, parameter, type Tensor, tensor } from "../../../engine/index.ts";
import { RingExchange } from "../../../src/train/cluster/ring-exchange.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";

const shared = await device();
const token = Token.create();
const runId = "0f".repeat(16);
const WORLD = 3;
/** A multiple of what flat parameters are padded to. */
const LENGTH = 1024;
const planes: RingPlane[] = [];

afterEach(async () => {
  await Promise.all(planes.splice(0).map((plane) => plane[Symbol.asyncDispose]()));
});

async function rings(): Promise<Collectives[]> {
  const members = Array.from({ length: WORLD }, (_, rank) => `n${rank}`);
  for (const nodeId of members)
    planes.push(await RingPlane.open({ runId, token, nodeId, progressMs: 60_000 }));
  const addressOf = (node: string): string | undefined =>
    planes[members.indexOf(node)]?.listener.url;
  await Promise.all(planes.map((plane) => plane.begin({ epoch: 1, members, addressOf })));
  return planes.map(
    (plane, rank) => new Collectives({ plane, rank, world: WORLD, chunkBytes: 2 ** 16 }),
  );
}

/** An optimizer whose steps are not the same for gradients of all sizes: ε is as large as they are. */
function stepper(clipNorm?: number): {
  readonly optimizer: AdamW;
  readonly step: (gradient: Float32Array) => Promise<{ gradNorm: Tensor; isSkipped: Tensor }>;
} {
  const weights = parameter([LENGTH], 0.5, "w");
  const optimizer = new AdamW(shared, [weights], {
    ...{ lr: 0.1, eps: 1 },
    ...(clipNorm !== undefined && { clipNorm }),
  });
  const step = compile((gradient: Tensor) => ({ ...optimizer.step(gradient) }), { device: shared });
  return { optimizer, step: (all: Float32Array) => step(tensor(all, [LENGTH])) };
}

it.each([
  ["zero1", 2.5],
  ["zero1", 1e6],
  ["ddp", 2.5],
  ["zero1", undefined],
] as const)("%s, clipped to a norm of %s", async (sync, clipNorm) => {
  const random = randoms(11);
  const gradients = Array.from({ length: WORLD }, () => random.floats(LENGTH));
  const sum = Float32Array.from({ length: LENGTH }, (_, i) =>
    gradients.reduce((all, own) => all + (own[i] as number), 0),
  );
  const alone = stepper(clipNorm);
  const { gradNorm } = await alone.step(sum);
  const norm = await gradNorm.item();
  const expected = (await alone.optimizer.flat.flat.read()) as Float32Array;
  const nodes = await Promise.all(
    (await rings()).map(async (ring, rank) => {
      const own = stepper();
      const exchange = new RingExchange({ sync, wire: "f32", ...(clipNorm && { clipNorm }) });
      exchange.attach(own.optimizer);
      exchange.begin(ring, new AbortController().signal);
      expect(exchange.parameters).toBeUndefined();
      const gradient = gradients[rank] as Float32Array;
      const total = await exchange.step({ gradient, step: own.step });
      expect(Math.abs(total - norm)).toBeLessThan(1e-6 * norm);
      const flat = (await own.optimizer.flat.flat.read()) as Float32Array;
      expect(exchange.parameters).toEqual(flat);
      return flat;
    }),
  );
  for (const flat of nodes) {
    expectClose(flat, expected, { abs: 1e-7, rel: 1e-6 });
    expect(flat).toEqual(nodes[0]);
  }
});
