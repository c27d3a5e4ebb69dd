import { beforeAll, describe, expect, it } from "vitest";
import { compile, type Device, type LmHeadOptions, lmHead, tensor } from "../../../engine/index.ts";
import * as oracle from "../../reference/lm-head.ts";
import { codeOf } from "../../support/errors.ts";
import { evaluate, gradients, KERNEL_CLASSES, type KernelClass } from "../../support/evaluate.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";
import { summed, TOLERANCES } from "../../support/tolerances.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

type Result = "logprob" | "lse" | "entropy";

interface Case {
  readonly name: string;
  readonly rows: number;
  readonly width: number;
  readonly vocab: number;
  readonly options?: LmHeadOptions;
  /** Results that the loss depends on. Default: all. */
  readonly uses?: readonly Result[];
}

/** Few for hardware: its matrix products compile slowly on a software adapter, and have tests of their own. */
const CASES: Record<KernelClass, readonly Case[]> = {
  software: [
    { name: "the smallest head", rows: 1, width: 1, vocab: 1 },
    { name: "odd sizes", rows: 9, width: 5, vocab: 17 },
    { name: "one chunk", rows: 16, width: 8, vocab: 64 },
    { name: "even chunks", rows: 16, width: 8, vocab: 64, options: { chunkRows: 8 } },
    { name: "a shorter last chunk", rows: 20, width: 8, vocab: 65, options: { chunkRows: 8 } },
    { name: "a row a chunk", rows: 3, width: 8, vocab: 65, options: { chunkRows: 1 } },
    {
      name: "softcap and temperature",
      rows: 9,
      width: 8,
      vocab: 64,
      options: { softcap: 2, temperature: 0.7, chunkRows: 4 },
    },
    { name: "log-probs alone", rows: 9, width: 8, vocab: 64, uses: ["logprob"] },
    { name: "entropies alone", rows: 9, width: 8, vocab: 64, uses: ["entropy"] },
  ],
  hardware: [
    { name: "the smallest head", rows: 1, width: 1, vocab: 1 },
    {
      name: "odd sizes in chunks",
      rows: 9,
      width: 5,
      vocab: 17,
      options: { softcap: 2, temperature: 0.7, chunkRows: 4 },
    },
  ],
};

/** Logits and the products of their gradient, by the definition. */
function expected(
  at: Case,
  data: { hidden: Float32Array; weight: Float32Array; labels: Int32Array },
  douts: Record<Result, Float32Array>,
) {
  const { rows, width, vocab } = at;
  const { softcap = 0, temperature = 1 } = at.options ?? {};
  const { hidden, weight, labels } = data;
  const logits = new Float64Array(rows * vocab);
  for (let i = 0; i < logits.length; i++) {
    const [r, v] = [Math.floor(i / vocab), i % vocab];
    for (let c = 0; c < width; c++) {
      logits[i] = Number(logits[i]) + Number(hidden[r * width + c]) * Number(weight[v * width + c]);
    }
  }
  const input = { logits, labels, cols: vocab };
  const uses = at.uses ?? ["logprob", "lse", "entropy"];
  const given = (name: Result) => (uses.includes(name) ? douts[name] : new Float32Array(rows));
  const back = { dlogprob: given("logprob"), dlse: given("lse"), dentropy: given("entropy") };
  const dlogits = oracle.lmHeadBackward(input, back, { softcap, temperature });
  const dhidden = new Float64Array(rows * width);
  const dweight = new Float64Array(vocab * width);
  dlogits.forEach((d, i) => {
    const [r, v] = [Math.floor(i / vocab), i % vocab];
    for (let c = 0; c < width; c++) {
      const [h, w] = [r * width + c, v * width + c];
      dhidden[h] = Number(dhidden[h]) + d * Number(weight[w]);
      dweight[w] = Number(dweight[w]) + d * Number(hidden[h]);
    }
  });
  return { ...oracle.lmHead(input, { softcap, temperature }), dhidden, dweight };
}

describe.each(KERNEL_CLASSES)("lmHead by %s kernels", (kernels) => {
  it.each(CASES[kernels])("agrees with f64 for $name", async (at) => {
    const { rows, width, vocab } = at;
    const random = randoms(rows * 1000 + vocab);
    const hidden = random.floats(rows * width, -2, 2);
    const weight = random.floats(vocab * width);
    const labels = random.integers(rows, 0, vocab).map((id, i) => (i % 4 === 3 ? -1 : id));
    const draw = () => random.floats(rows);
    const douts = { logprob: draw(), lse: draw(), entropy: draw() };
    const { values } = await evaluate(
      gpu,
      () => {
        const [h, w] = [tensor(hidden, [rows, width]), tensor(weight, [vocab, width])];
        const result = lmHead(h, w, tensor(labels), at.options);
        const uses = at.uses ?? (["logprob", "lse", "entropy"] as const);
        const [dhidden, dweight] = gradients(
          uses.map((name) => [result[name], douts[name]] as const),
          [h, w],
        );
        return { ...result, dhidden, dweight };
      },
      kernels,
    );
    const want = expected(at, { hidden, weight, labels }, douts);
    for (const name of ["logprob", "lse", "entropy"] as const) {
      expectClose(values[name], want[name], TOLERANCES.row, name);
    }
    expectClose(values.dhidden, want.dhidden, summed(vocab, 0.5), "dhidden");
    expectClose(values.dweight, want.dweight, summed(rows, 4), "dweight");
  });
});

describe("lmHead", () => {
  const random = randoms(8);
  const hidden = tensor(random.floats(8 * 4), [8, 4]);
  const weight = tensor(random.floats(12 * 4), [12, 4]);
  const labels = tensor(new Uint32Array([0, 1, 2, 3, 4, 5, 6, 11]));

  it("never holds the logits of more than a chunk", async () => {
    const [rows, vocab] = [64, 512] as const;
    const [h, w] = [
      tensor(new Float32Array(rows * 4), [rows, 4]),
      tensor(new Float32Array(vocab * 4), [vocab, 4]),
    ];
    const ids = tensor(new Uint32Array(rows));
    const loss = compile(() => {
      const { logprob } = lmHead(h, w, ids, { chunkRows: 8 });
      const [dh, dw] = gradients([[logprob, new Float32Array(rows)]], [h, w]);
      return { logprob, dh, dw };
    });
    const { memory } = await loss.describe();
    loss[Symbol.dispose]();
    expect(memory.temporary).toBeLessThan((rows * vocab * 4) / 2);
  });

  it("gives zero gradient to the weight of no rows", async () => {
    const { values } = await evaluate(gpu, () => {
      const none = tensor(new Float32Array(0), [0, 4]);
      const { logprob } = lmHead(none, weight, tensor(new Uint32Array(0)));
      return { logprob, dweight: gradients([[logprob, new Float32Array(0)]], [weight])[0] };
    });
    expect(values.logprob).toHaveLength(0);
    expect([...values.dweight]).toEqual(Array(48).fill(0));
  });

  it("refuses operands that do not fit", () => {
    expect(codeOf(() => lmHead(hidden, weight.slice(1, 0, 3), labels))).toBe("shape_mismatch");
    expect(codeOf(() => lmHead(hidden, weight, labels.slice(0, 0, 7)))).toBe("shape_mismatch");
    expect(codeOf(() => lmHead(hidden.reshape([32]), weight, labels))).toBe("shape_mismatch");
    expect(codeOf(() => lmHead(hidden, weight, labels.cast("f32")))).toBe("dtype_mismatch");
  });
});
