import { beforeAll, describe, expect, it } from "vitest";
import {
  compile,
  type Device,
  GradientAccumulator,
  type GradientFormat,
  GradientReadback,
  grad,
  parameter,
  SGD,
  type State,
  type Tensor,
  tensor,
} from "../../../engine/index.ts";
import { bf16, int8Block } from "../../reference/ring-sum.ts";
import { device, randoms } from "../../support/gpu.ts";

const WIDTH = 24;
const LAYERS = 4;
/** A layer's weights are 576 elements, which no range ends with. */
const RANGES = [
  { from: 0, to: 512 },
  { from: 512, to: 1792 },
  { from: 1792, to: LAYERS * WIDTH * WIDTH },
];

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

/** A network whose gradients come layer by layer, the last one first. */
function network(pieceSize?: number) {
  const random = randoms(5);
  const weights = Array.from({ length: LAYERS }, (_, i) =>
    parameter([WIDTH, WIDTH], random.floats(WIDTH * WIDTH, -0.3, 0.3), `w${i}`),
  );
  const optimizer = new SGD(gpu, weights, { lr: 1 });
  const options = { reduction: "sum", ...(pieceSize && { pieceSize }) } as const;
  const accumulator = new GradientAccumulator(optimizer, options);
  const add = compile((x: Tensor) => {
    const loss = weights.reduce((h, w) => h.matmul(w).tanh(), x).sum();
    accumulator.add(grad(loss, optimizer.parameters));
    return loss;
  });
  return { optimizer, accumulator, add };
}

function batch(seed: number): Tensor {
  return tensor(randoms(seed).floats(3 * WIDTH), [3, WIDTH]);
}

/** What is read, range by range. */
function collector() {
  const read: Uint8Array[] = [];
  const order: number[] = [];
  const take = (range: number, bytes: Uint8Array): void => {
    read[range] = bytes.slice();
    order.push(range);
  };
  const all = (): Uint8Array => Uint8Array.from(read.flatMap((bytes) => [...bytes]));
  return { take, all, order };
}

describe("GradientAccumulator in pieces", () => {
  it("has the sum of one piece, bit for bit, for gradients apart and in one", async () => {
    const whole = network();
    const pieces = network(600);
    expect(pieces.accumulator.pieces.map(({ from, to }) => [from, to])).toEqual([
      [0, 1152],
      [1152, 2304],
    ]);
    for (const seed of [1, 2]) {
      await whole.add(batch(seed));
      await pieces.add(batch(seed));
    }
    const sum = await whole.accumulator.total.read();
    expect(await pieces.accumulator.total.read()).toEqual(sum);
    const flat = compile((g: Tensor) => pieces.accumulator.add(g) ?? g.sum());
    pieces.accumulator.reset();
    await flat(tensor(sum as Float32Array));
    expect(await pieces.accumulator.total.read()).toEqual(sum);
    const step = compile(() => ({ ...pieces.accumulator.step() }));
    const before = await pieces.optimizer.flat.flat.read();
    await step();
    const after = await pieces.optimizer.flat.flat.read();
    expect(after).toEqual(before.map((p, i) => p - (sum[i] as number)));
  });

  it("adds and steps in one function", async () => {
    const whole = network();
    const pieces = network(600);
    const both = [whole, pieces].map(({ accumulator }) =>
      compile((g: Tensor) => {
        accumulator.add(g);
        return { ...accumulator.step() };
      }),
    );
    const g = tensor(randoms(9).floats(2304));
    for (const step of both) await step(g);
    expect(await pieces.optimizer.flat.flat.read()).toEqual(await whole.optimizer.flat.flat.read());
  });
});

describe("GradientReadback", () => {
  it("reads ranges while the rest is computed: the last layers first", async () => {
    const { optimizer, accumulator, add } = network(1);
    const readback = new GradientReadback(accumulator, optimizer.flat, {
      ...{ format: "f32", ranges: RANGES },
    });
    const { take, all } = collector();
    const submitted: string[] = [];
    const { watch, done } = readback.begin(take);
    const names = new Map(accumulator.pieces.map(({ state }, i) => [state, i]));
    const { submit } = gpu;
    gpu.submit = (label, commands): void => {
      submitted.push(label.startsWith("read") ? "read" : "compute");
      submit.call(gpu, label, commands);
    };
    const written: number[] = [];
    try {
      await add.watched(
        {
          states: watch.states,
          onWritten: (state: State) => {
            written.push(names.get(state) as number);
            watch.onWritten(state);
          },
        },
        batch(1),
      );
      await done;
    } finally {
      gpu.submit = submit;
    }
    expect(written).toEqual([3, 2, 1, 0]);
    const work = submitted.slice(0, submitted.lastIndexOf("read") + 1);
    expect(work.join(" ")).toBe("compute read compute compute compute read read");
    const sum = (await accumulator.total.read()) as Float32Array;
    expect(new Float32Array(all().buffer)).toEqual(sum);
    expect(sum.some((g) => g !== 0)).toBe(true);
  });

  it.each<GradientFormat>(["bf16", "int8"])(
    "reads %s while it computes, and all at once",
    async (format) => {
      const { optimizer, accumulator, add } = network(1);
      const readback = new GradientReadback(accumulator, optimizer.flat, {
        format,
        ranges: RANGES,
      });
      await readback.prepare();
      await add(batch(1));
      const during = collector();
      const { watch, done } = readback.begin(during.take);
      await add.watched(watch, batch(2));
      await done;
      const sum = Array.from(await accumulator.total.read());
      if (format === "bf16") {
        const words = new Uint16Array(during.all().buffer);
        const values = new Float32Array(Uint32Array.from(words, (half) => half << 16).buffer);
        expect([...values]).toEqual(sum.map(bf16));
      } else {
        const bytes = during.all();
        expect(bytes.length).toBe(2304 + 4 * 9);
        const scale = new DataView(bytes.buffer).getFloat32(0, true);
        expect(scale).toBeCloseTo(int8Block(sum.slice(0, 256)).scale, 9);
      }
      if (format === "int8") readback.restoreResidual();
      const after = collector();
      await readback.readAll(after.take);
      expect(after.all()).toEqual(during.all());
    },
  );

  it("owes what int8 loses, until it is forgotten or comes to nothing", async () => {
    const { optimizer, accumulator } = network(1);
    const flat = compile((g: Tensor) => accumulator.add(g) ?? g.sum());
    const readback = new GradientReadback(accumulator, optimizer.flat, {
      ...{ format: "int8", ranges: RANGES },
    });
    await readback.prepare();
    const values = randoms(3).floats(2304);
    await flat(tensor(values));
    const read = async (): Promise<Uint8Array> => {
      const { take, all } = collector();
      await readback.readAll(take);
      return all();
    };
    const first = await read();
    const second = await read();
    expect(second).not.toEqual(first);
    readback.restoreResidual();
    expect(await read()).toEqual(first);
    readback.keepResidual();
    expect(await read()).toEqual(second);
    const third = await read();
    expect(third).not.toEqual(second);
    readback.restoreResidual();
    expect(await read()).toEqual(second);
    readback.clearResidual();
    expect(await read()).toEqual(first);
    // of many rounds the mean is what was meant
    readback.clearResidual();
    const total = new Float64Array(values.length);
    const ROUNDS = 32;
    for (let round = 0; round < ROUNDS; round++) {
      const bytes = new DataView((await read()).buffer);
      for (let i = 0; i < total.length; i++) {
        const at = 260 * Math.floor(i / 256);
        total[i] =
          (total[i] as number) + bytes.getInt8(at + 4 + (i % 256)) * bytes.getFloat32(at, true);
      }
    }
    for (const [i, x] of values.entries())
      expect(Math.abs((total[i] as number) / ROUNDS - x)).toBeLessThan(0.005 / ROUNDS);
  });

  it("refuses ranges that are not all, or do not begin with a block", () => {
    const { optimizer, accumulator } = network();
    const make = (ranges: { from: number; to: number }[]) => () =>
      new GradientReadback(accumulator, optimizer.flat, { format: "f32", ranges });
    for (const ranges of [
      [{ from: 0, to: 2048 }],
      [
        { from: 0, to: 100 },
        { from: 100, to: 2304 },
      ],
      [{ from: 0, to: 2560 }],
    ])
      expect(make(ranges)).toThrow(expect.objectContaining({ code: "argument_invalid" }));
  });
});
