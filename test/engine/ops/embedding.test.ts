import { beforeAll, describe, expect, it } from "vitest";
import { shaderSource } from "../../../engine/graph/shader-source.ts";
import { type Device, embedding, tensor } from "../../../engine/index.ts";
import { embeddingLinks } from "../../../engine/ops/embedding-variants.ts";
import * as oracle from "../../reference/embedding.ts";
import { codeOf, rejectionOf } from "../../support/errors.ts";
import { evaluate, gradients, KERNEL_CLASSES } from "../../support/evaluate.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";
import { runKernel } from "../../support/kernel.ts";
import { summed, TOLERANCES } from "../../support/tolerances.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

describe.each(KERNEL_CLASSES)("embedding by %s kernels", (kernels) => {
  // the links kernel gives 8 positions to a lane, 64 to a workgroup
  it.each([
    [1, 1, 1],
    [7, 5, 3],
    [64, 16, 9],
    [65, 4, 100],
    [300, 20, 2],
  ])("agrees with f64 for %i ids into %i columns of %i rows", async (tokens, cols, vocab) => {
    const random = randoms(tokens);
    const ids = random.integers(tokens, 0, vocab);
    const table = random.floats(vocab * cols);
    const dy = random.floats(tokens * cols);
    const { values } = await evaluate(
      gpu,
      () => {
        const weights = tensor(table, [vocab, cols]);
        const y = embedding(tensor(ids), weights);
        return { y, dtable: gradients([[y, dy]], [weights])[0] };
      },
      kernels,
    );
    const sizes = { vocab, cols };
    expectClose(values.y, oracle.embedding(table, ids, sizes), TOLERANCES.exact, "y");
    expectClose(values.dtable, oracle.embeddingBackward(dy, ids, sizes), summed(tokens), "dtable");
  });

  it.each([1, 63, 64, 65, 300])("links %i ids to where they occur next", async (tokens) => {
    const facts = { isSoftware: kernels === "software", subgroupSize: undefined };
    const ids = Uint32Array.from(randoms(tokens).integers(tokens, 0, 20));
    const dispatch = embeddingLinks(facts, tokens);
    const out = new Uint32Array(2 * tokens + 4).fill(7);
    const source = shaderSource(dispatch.name);
    const { bindings } = await runKernel(gpu, { ...dispatch, source, bindings: [ids, out] });
    const { next, first } = oracle.embeddingLinks(ids);
    expect([...(bindings[1] as Uint32Array)]).toEqual([...next, ...first, 7, 7, 7, 7]);
  });

  it("sums each row's gradient in ascending order of positions: the same bits as in f32", async () => {
    const [tokens, cols] = [257, 4] as const;
    const random = randoms(2);
    const ids = Uint32Array.from(random.integers(tokens, 0, 3));
    const dy = random.floats(tokens * cols, -1000, 1000);
    const { values } = await evaluate(
      gpu,
      () => {
        const table = tensor(new Float32Array(3 * cols), [3, cols]);
        return { dtable: gradients([[embedding(tensor(ids), table), dy]], [table])[0] };
      },
      kernels,
    );
    const expected = new Float32Array(3 * cols);
    dy.forEach((d, i) => {
      const at = (ids[Math.floor(i / cols)] as number) * cols + (i % cols);
      expected[at] = Math.fround((expected[at] as number) + d);
    });
    expect([...values.dtable]).toEqual([...expected]);
  });
});

describe("embedding", () => {
  const table = tensor([
    [1, 2],
    [3, 4],
    [5, 6],
  ]);

  it("takes ids of any shape, and none", async () => {
    const y = embedding(tensor(new Int32Array([2, 0, 1, 1]), [2, 2]), table);
    expect(y.shape).toEqual([2, 2, 2]);
    expect([...(await y.read())]).toEqual([5, 6, 1, 2, 3, 4, 3, 4]);
    const { values } = await evaluate(gpu, () => {
      const none = embedding(tensor(new Uint32Array(0)), table);
      return { none, dtable: gradients([[none, new Float32Array(0)]], [table])[0] };
    });
    expect(values.none).toHaveLength(0);
    expect([...values.dtable]).toEqual([0, 0, 0, 0, 0, 0]);
  });

  it("reports an id outside of the table at the next read, and lives on", async () => {
    for (const ids of [new Uint32Array([0, 3]), new Int32Array([-1, 1])]) {
      expect(await rejectionOf(embedding(tensor(ids), table).read())).toBe("index_out_of_range");
    }
    const y = embedding(tensor(new Uint32Array([1])), table);
    expect([...(await y.read())]).toEqual([3, 4]);
  });

  it("refuses a table that is no matrix, and ids that are no integers", () => {
    const ids = tensor(new Uint32Array([0]));
    expect(codeOf(() => embedding(ids, tensor([1, 2])))).toBe("rank_mismatch");
    expect(codeOf(() => embedding(tensor([0]), table))).toBe("dtype_mismatch");
  });
});
