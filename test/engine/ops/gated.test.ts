import { beforeAll, describe, expect, it } from "vitest";
import {
  type Device,
  geglu,
  packedGeglu,
  packedSwiglu,
  swiglu,
  type Tensor,
  tensor,
} from "../../../engine/index.ts";
import * as oracle from "../../reference/gated.ts";
import { codeOf } from "../../support/errors.ts";
import { evaluate, gradients, KERNEL_CLASSES } from "../../support/evaluate.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";
import { columns, ROW_CASES, rowTensor } from "../../support/row-cases.ts";
import { TOLERANCES } from "../../support/tolerances.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

interface Form {
  readonly name: oracle.GatedActivation;
  readonly apart: (gate: Tensor, up: Tensor) => Tensor;
  readonly packed: (x: Tensor) => Tensor;
}

const FORMS: readonly Form[] = [
  { name: "silu", apart: swiglu, packed: packedSwiglu },
  { name: "gelu_tanh", apart: geglu, packed: packedGeglu },
  {
    name: "gelu_erf",
    apart: (gate, up) => geglu(gate, up, { form: "exact" }),
    packed: (x) => packedGeglu(x, { form: "exact" }),
  },
];

const { chain } = TOLERANCES;

describe.each(KERNEL_CLASSES)("swiglu by %s kernels", (kernels) => {
  it.each(ROW_CASES[kernels])("agrees with f64 at $name", async (at) => {
    const { rows, cols } = at;
    const random = randoms(rows * 1000 + cols);
    const gate = random.floats(rows * cols, -8, 8);
    const [up, dy] = [random.floats(rows * cols), random.floats(rows * cols)];
    const { values, kernels: ran } = await evaluate(
      gpu,
      () => {
        const [a, b] = [rowTensor(gate, at), rowTensor(up, at)];
        const y = swiglu(a, b);
        const [dgate, dup] = gradients([[y, dy]], [a, b]);
        return { y, dgate, dup };
      },
      kernels,
    );
    const { dgate, dup } = oracle.gatedBackward("silu", gate, up, dy);
    expectClose(values.y, oracle.gated("silu", gate, up), chain, "y");
    expectClose(values.dgate, dgate, chain, "dgate");
    expectClose(values.dup, dup, chain, "dup");
    expect(ran).not.toContain("map:copy");
  });
});

describe.each(FORMS)("the gate $name", ({ name, apart, packed }) => {
  // gates from where the activation is 0 to where it is the identity
  const [rows, cols] = [5, 8] as const;
  const random = randoms(11);
  const gate = Float32Array.from({ length: rows * cols }, (_, i) => 60 * ((i - 20) / 20) ** 3);
  const [up, dy] = [random.floats(rows * cols), random.floats(rows * cols)];
  const y = oracle.gated(name, gate, up);
  const { dgate, dup } = oracle.gatedBackward(name, gate, up, dy);

  it("agrees with f64 where it is flat, steep and straight", async () => {
    const { values } = await evaluate(gpu, () => {
      const [a, b] = [tensor(gate, [rows, cols]), tensor(up, [rows, cols])];
      const result = apart(a, b);
      const [da, db] = gradients([[result, dy]], [a, b]);
      return { y: result, dgate: da, dup: db };
    });
    expectClose(values.y, y, chain, "y");
    expectClose(values.dgate, dgate, chain, "dgate");
    expectClose(values.dup, dup, chain, "dup");
  });

  it.each([
    [0, 0],
    [4, 4],
    [1, 0],
  ])(
    "reads both halves in place between %i and %i columns, with one packed gradient",
    async (before, after) => {
      const joined = new Float32Array(2 * rows * cols);
      const dx = new Float64Array(2 * rows * cols);
      for (let r = 0; r < rows; r++) {
        const row = (values: Float32Array) => values.subarray(r * cols, (r + 1) * cols);
        joined.set(row(gate), 2 * r * cols);
        joined.set(row(up), (2 * r + 1) * cols);
        dx.set(dgate.subarray(r * cols, (r + 1) * cols), 2 * r * cols);
        dx.set(dup.subarray(r * cols, (r + 1) * cols), (2 * r + 1) * cols);
      }
      const { values, kernels } = await evaluate(gpu, () => {
        const x = columns(joined, [rows, 2 * cols], { before, after });
        const result = packed(x);
        return { y: result, dx: gradients([[result, dy]], [x])[0] };
      });
      expectClose(values.y, y, chain, "y");
      expectClose(values.dx, dx, chain, "dx");
      expect(kernels.filter((k) => k.startsWith("gated"))).toHaveLength(2);
      expect(kernels).not.toContain("map:copy");
    },
  );
});

describe("swiglu", () => {
  it("takes tensors without rows", async () => {
    const none = tensor(new Float32Array(0), [0, 6]);
    const { values } = await evaluate(gpu, () => ({ y: packedSwiglu(none), z: geglu(none, none) }));
    expect(values.y).toHaveLength(0);
    expect(values.z).toHaveLength(0);
  });

  it("refuses operands that do not fit", () => {
    expect(codeOf(() => swiglu(tensor([1, 2]), tensor([1, 2, 3])))).toBe("shape_mismatch");
    expect(codeOf(() => packedSwiglu(tensor([1, 2, 3])))).toBe("shape_mismatch");
    expect(codeOf(() => packedGeglu(tensor(1)))).toBe("rank_mismatch");
    expect(codeOf(() => geglu(tensor(1), tensor(1)))).toBe("rank_mismatch");
  });
});
