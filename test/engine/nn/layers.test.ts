import { beforeAll, describe, expect, it } from "vitest";
import {
  constantInit,
  type Device,
  Embedding,
  GatedMlp,
  grad,
  LayerNorm,
  Linear,
  Mlp,
  namedParameters,
  parameter,
  parametersOf,
  Random,
  RmsNorm,
  State,
  tensor,
} from "../../../engine/index.ts";
import { gated } from "../../reference/gated.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";
import { summed, TOLERANCES } from "../../support/tolerances.ts";

let shared: Device;
beforeAll(async () => {
  shared = await device();
});

describe("Linear", () => {
  it("multiplies rows by the weight and adds the bias, over any leading axes", async () => {
    const layer = new Linear(new Random(1), { inputs: 3, outputs: 2 });
    layer.weight.write(shared, Float32Array.of(1, 2, 3, 4, 5, 6));
    layer.bias?.write(shared, Float32Array.of(10, 20));
    const y = layer.forward(tensor([[[1, 0, 0]], [[1, 1, 1]]]));
    expect(y.shape).toEqual([2, 1, 2]);
    expect([...(await y.read())]).toEqual([11, 22, 19, 32]);
  });

  it("starts uniform within 1/√inputs, and can do without a bias", async () => {
    const layer = new Linear(new Random(1), { inputs: 16, outputs: 100, hasBias: false });
    expect(layer.bias).toBeUndefined();
    const weight = await layer.weight.read();
    expect(Math.max(...weight)).toBeLessThan(0.25);
    expect(Math.max(...weight)).toBeGreaterThan(0.24);
    expect(Math.min(...weight)).toBeLessThan(-0.24);
  });

  it("refuses rows of another width", () => {
    const layer = new Linear(new Random(1), { inputs: 3, outputs: 2 });
    expect(() => layer.forward(tensor([[1, 2]]))).toThrow(
      expect.objectContaining({ code: "shape_mismatch" }),
    );
  });
});

describe("Embedding", () => {
  it("looks rows up and sums their gradients", async () => {
    const layer = new Embedding(new Random(1), { count: 4, width: 2, init: constantInit(0.5) });
    const ids = tensor(Uint32Array.of(3, 0, 3));
    const y = layer.forward(ids);
    expect(y.shape).toEqual([3, 2]);
    const [dtable] = grad(y.sum(), [layer.weight]);
    expect([...((await dtable?.read()) ?? [])]).toEqual([1, 1, 0, 0, 0, 0, 2, 2]);
  });
});

describe("LayerNorm and RmsNorm", () => {
  it("start as plain normalizations", async () => {
    const x = tensor([[3, -1, 1, 1]]);
    const layer = await new LayerNorm({ width: 4, eps: 0 }).forward(x).read();
    const [mean, deviation] = [1, Math.sqrt(2)];
    expectClose(
      layer,
      [3, -1, 1, 1].map((v) => (v - mean) / deviation),
      TOLERANCES.row,
    );
    const rms = await new RmsNorm({ width: 4, eps: 0 }).forward(x).read();
    expectClose(
      rms,
      [3, -1, 1, 1].map((v) => v / Math.sqrt(3)),
      TOLERANCES.row,
    );
  });
});

describe("Mlp and GatedMlp", () => {
  it.each([
    ["gelu_tanh", undefined],
    ["silu", "silu"],
    ["gelu_tanh", "gelu"],
  ] as const)("put %s between two projections (gate: %s)", async (oracle, activation) => {
    const random = new Random(2);
    const shape = { width: 3, hidden: 5 };
    const layer = activation
      ? new GatedMlp(random, { ...shape, activation })
      : new Mlp(random, shape);
    const x = randoms(3).floats(6);
    const first = layer instanceof Mlp ? layer.up : layer.gateUp;
    const inner = await first.forward(tensor(x, [2, 3])).read();
    const parts = layer instanceof Mlp ? 1 : 2;
    const pick = (row: number, part: number): Float64Array =>
      Float64Array.from({ length: 5 }, (_, c) => inner[(row * parts + part) * 5 + c] as number);
    const weight = await layer.down.weight.read();
    const expected = [0, 1].flatMap((row) => {
      const up = parts === 2 ? pick(row, 1) : new Float64Array(5).fill(1);
      const middle = gated(oracle, pick(row, 0), up);
      return [0, 1, 2].map((o) =>
        middle.reduce((sum, value, c) => sum + value * (weight[c * 3 + o] as number), 0),
      );
    });
    const y = layer.forward(tensor(x, [2, 3]));
    expect(y.shape).toEqual([2, 3]);
    const { abs, rel } = summed(5);
    const chain = TOLERANCES.chain;
    expectClose(await y.read(), expected, { abs: abs + chain.abs, rel: rel + chain.rel });
  });
});

describe("parametersOf", () => {
  const w = parameter([2], 0, "");
  const named = parameter([3], 0, "its own");
  const model = {
    tied: { weight: w },
    blocks: [{ weight: parameter([1], 0, "") }, { weight: named }],
    cache: new State([1], "f32", 0, "cache"),
    other: w,
    constant: tensor([1]),
    data: new Float32Array(2),
    text: "words",
    nothing: undefined,
  };

  it("finds trainable states by their paths, each once", () => {
    const found = namedParameters(model);
    expect([...found.keys()]).toEqual(["tied.weight", "blocks.0.weight", "blocks.1.weight"]);
    expect(parametersOf(model)).toEqual([...found.values()]);
  });

  it("names states that have no name", () => {
    expect(parametersOf(model).map((p) => p.name)).toEqual([
      "tied.weight",
      "blocks.0.weight",
      "its own",
    ]);
    expect(parametersOf(model.blocks).map((p) => p.name)).toEqual(["blocks.0.weight", "its own"]);
  });

  it("walks models that refer to themselves", () => {
    const loop: { self?: object; w: State } = { w };
    loop.self = loop;
    expect(parametersOf(loop)).toEqual([w]);
  });
});
