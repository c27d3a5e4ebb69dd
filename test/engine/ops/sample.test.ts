import { beforeAll, describe, expect, it } from "vitest";
import {
  type Device,
  type SamplingOptions,
  sample,
  samplingWords,
  tensor,
} from "../../../engine/index.ts";
import * as oracle from "../../reference/sample.ts";
import { type Drawn, draw, type Row } from "../../support/draw-rows.ts";
import { codeOf, rejectionOf } from "../../support/errors.ts";
import { evaluate, KERNEL_CLASSES, type KernelClass } from "../../support/evaluate.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";
import { columns } from "../../support/row-cases.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

/** A few roundings of numbers up to log V, and an exp and a log that WGSL lets be off by 2^-21. */
const scored = { abs: 1e-6, rel: 1e-6 };

/** What the oracle says of a row. */
function expected({ logits, options = {}, position = 0 }: Row): oracle.Draw {
  const { seed = 0, ...rest } = options;
  return oracle.sample(logits, { ...oracle.PLAIN, ...rest, seed: BigInt(seed) }, position);
}

/** Compares rows with the oracle; returns how many were too close to tell. */
function expectDrawn(rows: readonly Row[], drawn: Drawn): number {
  const draws = rows.map(expected);
  const isSure = (_: unknown, i: number) => draws[i]?.isClose === false;
  expect(drawn.tokens.filter(isSure)).toEqual(draws.map((d) => d.token).filter(isSure));
  const pick = (values: ArrayLike<number>) => Array.from(values).filter(isSure);
  expectClose(pick(drawn.logprob), pick(draws.map((d) => d.logprob)), scored, "logprob");
  expectClose(
    drawn.entropy,
    draws.map((d) => d.entropy),
    scored,
    "entropy",
  );
  expectClose(
    drawn.logSumExp,
    draws.map((d) => d.lse),
    scored,
    "logSumExp",
  );
  return draws.filter((d) => d.isClose).length;
}

/** Each truncation alone, all of them, and where they cut all or nothing. */
const SETTINGS: readonly SamplingOptions[] = [
  {},
  { temperature: 0 },
  { temperature: 0.6 },
  { temperature: 2.5 },
  { topK: 1 },
  { topK: 5 },
  { topK: 4_000_000_000 },
  { topP: 0.9 },
  { topP: 1e-6 },
  { topP: 1e-46 },
  { minP: 0.05 },
  { minP: 1 },
  { topK: 20, topP: 0.8 },
  { temperature: 0.8, topK: 50, topP: 0.95, minP: 0.02 },
  { temperature: 1.3, topP: 0.5, minP: 0.3 },
  { temperature: 0, topK: 3, topP: 0.2, minP: 0.5 },
];

function randomRows(count: number, cols: number): Row[] {
  const random = randoms(31 * count + cols);
  return Array.from({ length: count }, (_, i) => ({
    logits: random.floats(cols, -6, 6),
    options: {
      ...SETTINGS[i % SETTINGS.length],
      seed: (BigInt(Math.floor(random.next() * 2 ** 32)) << 31n) + BigInt(i),
    },
    position: Math.floor(random.next() * 5000),
  }));
}

/** On a CPU driver a lane takes a row up to 4096 columns; on hardware 32 lanes do, and 256 from 1024 columns on. */
const SIZES: Record<KernelClass, readonly (readonly [rows: number, cols: number])[]> = {
  software: [
    [15, 1],
    [45, 7],
    [60, 64],
    [90, 511],
    [120, 512],
    [2, 32_000],
    [2, 32_001],
  ],
  hardware: [
    [15, 1],
    [30, 7],
    [45, 124],
    [15, 1028],
  ],
};

describe.each(KERNEL_CLASSES)("sample by %s kernels", (kernels) => {
  it.each(SIZES[kernels])("draws the oracle's tokens from %i rows of %i", async (count, cols) => {
    const rows = randomRows(count, cols);
    const close = expectDrawn(rows, await draw(gpu, rows, kernels));
    expect(close).toBeLessThanOrEqual(Math.ceil(count / 20));
  });

  it("takes the first of equal logits at temperature 0, both zeros being equal", async () => {
    const greedy = { temperature: 0 };
    const rows = [
      [1, 3, 3, 2, 3],
      [-0, 0, -1, -0, 0],
      [-1, -0, 0, -2, 0],
      [5, 5, 5, 5, 5],
      [-1e30, -1e30, -1e30, -1e30, -1e30],
    ].map((logits) => ({ logits, options: greedy }));
    expect((await draw(gpu, rows, kernels)).tokens).toEqual([1, 0, 1, 0, 0]);
  });

  it("keeps all that equal the k-th largest, and none below", async () => {
    const logits = [2, 1, 2, 0, 1, 1, -5, 1, 0.99];
    const rows = Array.from({ length: 200 }, (_, position) => ({
      logits,
      options: { topK: 3, temperature: 50, seed: 9 },
      position,
    }));
    const drawn = await draw(gpu, rows, kernels);
    expectDrawn(rows, drawn);
    expect([...new Set(drawn.tokens)].sort()).toEqual([0, 1, 2, 4, 5, 7]);
  });

  it("keeps all that are equal at the edge of top-p", async () => {
    // shares: 4/10, then three times 2/10; those larger than the three have 0.4 < 0.5
    const logits = [Math.log(2), Math.log(4), Math.log(2), Math.log(2), -1e30];
    const rows = Array.from({ length: 100 }, (_, position) => ({
      logits,
      options: { topP: 0.5, seed: 2 },
      position,
    }));
    const { tokens } = await draw(gpu, rows, kernels);
    expect([...new Set(tokens)].sort()).toEqual([0, 1, 2, 3]);
  });

  it("bears logits of any finite size", async () => {
    const random = randoms(3);
    const shapes = [
      (i: number) => (i % 3 ? -1e4 : 1e4),
      (i: number) => (i === 4 ? 0 : -1e30),
      (i: number) => (i % 2 ? 1e38 : -1e38),
      (i: number) => -1e4 + random.next() * (i % 5),
      (i: number) => 1e4 - i,
      () => -1e30,
    ];
    const rows = shapes.flatMap((shape) =>
      SETTINGS.map((options) => ({
        logits: Float32Array.from({ length: 12 }, (_, i) => shape(i)),
        options: { ...options, seed: 1 },
      })),
    );
    expectDrawn(rows, await draw(gpu, rows, kernels));
  });

  it("gives a row the same bits in any company, order and slot", async () => {
    const rows = randomRows(45, 62);
    const all = await draw(gpu, rows, kernels);
    const bits = ({ logprob, entropy, logSumExp }: Drawn, i: number) =>
      [logprob, entropy, logSumExp].map((x) => x[i]);
    const reversed = await draw(gpu, [...rows].reverse(), kernels, (row) => (row * 7) % 45);
    rows.forEach((_, i) => {
      expect(reversed.tokens[44 - i]).toBe(all.tokens[i]);
      expect(bits(reversed, 44 - i)).toEqual(bits(all, i));
    });
    for (const i of [0, 7, 12, 44]) {
      const alone = await draw(gpu, [rows[i] as Row], kernels, () => 3);
      expect(alone.tokens).toEqual([all.tokens[i]]);
      expect(bits(alone, 0)).toEqual(bits(all, i));
    }
  });

  it("gives token 0 and zeros to rows without a slot", async () => {
    const logits = tensor([
      [1, 2, 3],
      [3, 2, 9],
      [1, 5, 2],
    ]);
    const inputs = {
      slots: tensor(new Int32Array([2, 0, -1])),
      settings: tensor(
        new Uint32Array([...samplingWords({ temperature: 0 }), ...samplingWords()]),
        [2, 8],
      ),
      positions: tensor(new Uint32Array(2)),
    };
    const { values } = await evaluate(gpu, () => ({ ...sample(logits, inputs) }), kernels);
    expect([...values.token]).toEqual([0, 2, 0]);
    for (const scores of [values.logprob, values.entropy, values.logSumExp]) {
      expect([scores[0], scores[2]]).toEqual([0, 0]);
      expect(scores[1]).not.toBe(0);
    }
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
    "reports a logit of %d at the next read, and lives on",
    async (bad) => {
      const good = { logits: [1, 2, 3, 4, 5] };
      const rows = [good, { logits: [1, 2, bad, 4, 5], options: { temperature: 0 } }];
      expect(await rejectionOf(draw(gpu, rows, kernels))).toBe("non_finite");
      expectDrawn([good], await draw(gpu, [good], kernels));
    },
  );
});

describe("sample", () => {
  const inputs = {
    slots: tensor(new Uint32Array(2)),
    settings: tensor(samplingWords({ temperature: 0 }), [1, 8]),
    positions: tensor(new Uint32Array(1)),
  };

  it("takes columns of a wider matrix, and no rows", async () => {
    const values = new Float32Array([1, 2, 3, 4, 8, 7, 6, 5]);
    for (const place of [
      { before: 4, after: 8 },
      { before: 1, after: 2 },
    ]) {
      const { token } = sample(columns(values, [2, 4], place), inputs);
      expect([...(await token.read())]).toEqual([3, 0]);
    }
    const none = sample(tensor(new Float32Array(0), [0, 4]), {
      ...inputs,
      slots: tensor(new Uint32Array(0)),
    });
    expect(await none.token.read()).toHaveLength(0);
    expect(await none.entropy.read()).toHaveLength(0);
  });

  it("gives other tokens at other positions and seeds, the same for the same", async () => {
    const logits = new Float32Array(500);
    const at = (position: number, seed: number | bigint): Row => ({
      logits,
      options: { seed },
      position,
    });
    const rows = [at(4, 1), at(5, 1), at(4, 2), at(4, 2n ** 32n + 1n), at(4, 1)];
    const { tokens } = await draw(gpu, rows);
    expect(new Set(tokens).size).toBe(4);
    expect(tokens[4]).toBe(tokens[0]);
  });

  it("refuses operands that do not fit, and those of another dtype", () => {
    const logits = tensor([
      [1, 2],
      [3, 4],
    ]);
    const refused = (change: Partial<typeof inputs>) =>
      codeOf(() => sample(logits, { ...inputs, ...change }));
    expect(refused({ slots: tensor(new Uint32Array(3)) })).toBe("shape_mismatch");
    expect(refused({ settings: tensor(new Uint32Array(16), [2, 8]) })).toBe("shape_mismatch");
    expect(refused({ positions: tensor(new Uint32Array(2)) })).toBe("shape_mismatch");
    expect(refused({ slots: tensor([0, 0]) })).toBe("dtype_mismatch");
    expect(codeOf(() => sample(tensor([1, 2]), inputs))).toBe("shape_mismatch");
    const empty = tensor(new Float32Array(0), [2, 0]);
    expect(codeOf(() => sample(empty, inputs))).toBe("shape_mismatch");
  });
});

describe("samplingWords", () => {
  it("holds what it is given, and by default draws from the whole softmax", () => {
    const seed = 0x1234_5678_9abc_def0n;
    const words = samplingWords({ temperature: 0.5, topK: 40, topP: 0.75, minP: 0.25, seed });
    expect([...words]).toEqual([
      0x3f00_0000, 40, 0x3f40_0000, 0x3e80_0000, 0x9abc_def0, 0x1234_5678, 0, 0,
    ]);
    expect([...samplingWords()]).toEqual([0x3f80_0000, 0, 0x3f80_0000, 0, 0, 0, 0, 0]);
    expect(samplingWords({ seed: 2 ** 40 + 3 })).toEqual(samplingWords({ seed: 2n ** 40n + 3n }));
  });

  it.each([
    { temperature: -1 },
    { temperature: 1e-5 },
    { temperature: Number.NaN },
    { temperature: Number.POSITIVE_INFINITY },
    { topK: -1 },
    { topK: 1.5 },
    { topK: 2 ** 32 },
    { topP: 0 },
    { topP: 1.1 },
    { topP: Number.NaN },
    { minP: -0.1 },
    { minP: 2 },
    { seed: -1 },
    { seed: 0.5 },
    { seed: Number.NaN },
    { seed: 2 ** 60 },
    { seed: 2n ** 64n },
  ])("refuses %o by name", (options) => {
    const [name] = Object.keys(options) as [string];
    expect(codeOf(() => samplingWords(options))).toBe("argument_invalid");
    expect(() => samplingWords(options)).toThrow(name);
  });
});
