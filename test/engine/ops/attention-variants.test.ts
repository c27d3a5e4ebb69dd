import { beforeAll, describe, expect, test } from "vitest";
import { shaderSource } from "../../../engine/graph/shader-source.ts";
import type { Device } from "../../../engine/index.ts";
import {
  type AttentionDevice,
  type AttentionKernel,
  type AttentionParams,
  type AttentionShape,
  chooseAttentionVariant,
  deltaKernel,
  forestKernel,
  forestLength,
  lanesVariant,
  packAttentionParams,
  shapeRefusal,
  workgroupVariant,
} from "../../../engine/ops/attention-variants.ts";
import * as oracle from "../../reference/attention.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";
import { runKernel } from "../../support/kernel.ts";
import { TOLERANCES } from "../../support/tolerances.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

const HARDWARE: AttentionDevice = {
  isSoftware: false,
  subgroupSize: 32,
  workgroupStorageBytes: 16_384,
};
const SHAPE: AttentionShape = {
  tokens: 70,
  heads: 2,
  kvHeads: 1,
  headDim: 8,
  hasWindow: false,
  hasSoftcap: false,
};

describe("chooseAttentionVariant", () => {
  test("takes lanes on CPUs with subgroups of 4, 8 or 16, and workgroups elsewhere", () => {
    const choice = (isSoftware: boolean, subgroupSize: number | undefined): string =>
      chooseAttentionVariant({ ...HARDWARE, isSoftware, subgroupSize }, SHAPE).name;
    for (const size of [4, 8, 16]) expect(choice(true, size)).toBe("lanes");
    for (const size of [1, 32, undefined]) expect(choice(true, size)).toBe("workgroup");
    for (const size of [8, 32, undefined]) expect(choice(false, size)).toBe("workgroup");
  });

  test("says why a shape or an adapter is refused", () => {
    expect(shapeRefusal(SHAPE)).toBeUndefined();
    expect(shapeRefusal({ ...SHAPE, headDim: 260 })).toContain("head size 260");
    expect(shapeRefusal({ ...SHAPE, kvHeads: 3 })).toContain("shared out");
    expect(shapeRefusal({ ...SHAPE, tokens: 0 })).toContain("no tokens");
    expect(shapeRefusal({ ...SHAPE, tokens: 600_000 })).toContain("524,280");
    expect(lanesVariant.refusal({ ...HARDWARE, subgroupSize: 64 }, SHAPE)).toContain("64");
  });

  test("fits workgroup memory, for every head size, on the smallest adapter", () => {
    const memory = { forward: [7936, 256], dquery: [6656, 512], dkeyvalue: [11_264, 512] };
    for (let headDim = 8; headDim <= 256; headDim += 4) {
      for (const part of ["forward", "dquery", "dkeyvalue"] as const) {
        const { CHUNK } = workgroupVariant[part].constants(HARDWARE, { ...SHAPE, headDim });
        const [base = 0, each = 0] = memory[part];
        expect(base + each * Number(CHUNK), `${part} ${headDim}`).toBeLessThanOrEqual(16_384);
      }
    }
  });
});

describe("the workgroup kernels", () => {
  test("agree with f64 when they stage rows in chunks, and write nothing else", async () => {
    // A driver on a CPU gets chunks of 4 dimensions: two of them for this head size.
    const facts: AttentionDevice = { ...HARDWARE, isSoftware: true };
    const { tokens, heads, kvHeads, headDim } = SHAPE;
    const { floats, next } = randoms(3);
    const forest = oracle.randomForest(tokens, next);
    const shape = { heads, kvHeads, headDim, scale: 0.4, window: 0, softcap: 0 };
    const [q, dout] = [floats(tokens * heads * headDim), floats(tokens * heads * headDim)];
    const [k, v] = [floats(tokens * kvHeads * headDim), floats(tokens * kvHeads * headDim)];
    const CANARIES = 64;
    const poisoned = (count: number): Float32Array<ArrayBuffer> =>
      new Float32Array(count + CANARIES).fill(Number.NaN);
    const data: Record<string, Float32Array | Uint32Array> = {
      ...{ q, k, v, dout },
      end: forest.end,
      depth: forest.depth,
      forest: new Uint32Array(forestLength(tokens)),
      out: poisoned(q.length),
      lse: poisoned(heads * tokens),
      stats: poisoned(2 * heads * tokens),
      dq: poisoned(q.length),
      dkv: poisoned(k.length + v.length),
    };
    const query = { offset: 0, stride: heads * headDim };
    const key = { offset: 0, stride: kvHeads * headDim };
    const params: AttentionParams = {
      tokens,
      ...shape,
      ...{ q: query, out: query, dout: query, dq: query, k: key, v: key, dk: key },
      dv: { offset: k.length, stride: kvHeads * headDim },
    };
    const run = async (kernel: AttentionKernel): Promise<void> => {
      const { bindings } = await runKernel(gpu, {
        name: kernel.file,
        source: shaderSource(kernel.file),
        options: { constants: kernel.constants(facts, SHAPE) },
        entry: kernel.entry,
        params: packAttentionParams(params),
        bindings: kernel.bindings.map((name) => data[name] as Float32Array),
        grid: kernel.grid(facts, SHAPE),
      });
      kernel.bindings.forEach((name, i) => {
        data[name] = bindings[i] as Float32Array;
      });
    };
    const { forward, dquery, dkeyvalue } = workgroupVariant;
    for (const kernel of [forestKernel, forward, deltaKernel, dquery, dkeyvalue]) await run(kernel);

    const { out, lse } = oracle.attention(shape, forest, { q, k, v });
    const { dq, dk, dv } = oracle.attentionBackward(shape, forest, { q, k, v }, dout);
    const result = (name: string): Float32Array => {
      const all = data[name] as Float32Array;
      const written = all.length - CANARIES;
      expect(all.subarray(written).every(Number.isNaN), `behind ${name}`).toBe(true);
      return all.subarray(0, written);
    };
    result("stats");
    expectClose(result("out"), out, TOLERANCES.row, "out");
    expectClose(result("lse"), lse, TOLERANCES.row, "lse");
    expectClose(result("dq"), dq, TOLERANCES.rowGradient, "dq");
    expectClose(result("dkv").subarray(0, dk.length), dk, TOLERANCES.rowGradient, "dk");
    expectClose(result("dkv").subarray(dk.length), dv, TOLERANCES.rowGradient, "dv");
  });
});
