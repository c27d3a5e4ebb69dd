/** Matrix products: every variant that is on, in every mode. */
import { type Device, kernelVariants, matmul, tensor } from "../../../engine/index.ts";
import { dot, rowsOf, type Scalar, scalars } from "../scalar.ts";
import { differentiable, mapValues, type Operand, operands, type SelfTest } from "../self-test.ts";

const MODES = ["NN", "NT", "TN"] as const;
type Mode = (typeof MODES)[number];

/** The tests for a device. */
export function matmulTests(device: Device): SelfTest[] {
  const tests = kernelVariants(device)
    .filter(({ family, isOn }) => family === "matmul" && isOn)
    .flatMap(({ name }) => {
      const modes = name === "rows" ? MODES.filter((mode) => mode !== "TN") : MODES;
      return modes.map((mode) => productTest(name, mode));
    });
  return [...tests, ...(["f16", "bf16"] as const).map(heldTest)];
}

/** More than a tile in both directions, with a partial tile at the edge; in steps of 4 where the kernel needs them. */
function sizesFor(variant: string): { m: number; n: number; k: number } {
  if (variant === "rows") return { m: 5, n: 72, k: 36 };
  if (/_any|plain/.test(variant)) return { m: 37, n: 69, k: 29 };
  const isLarge = /_128/.test(variant);
  return isLarge ? { m: 132, n: 136, k: 20 } : { m: 68, n: 72, k: 36 };
}

function productTest(variant: string, mode: Mode): SelfTest {
  const { m, n, k } = sizesFor(variant);
  const isRounding = variant.startsWith("matrix");
  const inputs = operands({
    a: mode === "TN" ? [k, m] : [m, k],
    b: mode === "NT" ? [n, k] : [k, n],
  });
  return differentiable({
    family: "matmul",
    name: `${variant} ${mode}`,
    inputs: isRounding ? mapValues(inputs, (x) => rounded(x)) : inputs,
    // gradients of the result are multiples of 1/8, which f16 holds as well
    engine: ({ a, b }) =>
      matmul(mode === "TN" ? a.transpose() : a, mode === "NT" ? b.transpose() : b),
    definition: ({ a, b }) => {
      const rows = mode === "TN" ? columnsOf(a, m) : rowsOf(a, k);
      const columns = mode === "NT" ? rowsOf(b, k) : columnsOf(b, n);
      return rows.flatMap((row) => columns.map((column) => dot(row, column)));
    },
    ...(isRounding ? { tolerance: 2e-4 } : {}),
    around: (device, run) => preferring(device, variant, isRounding, run),
  });
}

/** A weight that is held in 16 bits and read in place, forward and backward. */
function heldTest(dtype: "f16" | "bf16"): SelfTest {
  const [k, n] = [36, 72];
  const { a, b } = operands({ a: [5, k], b: [k, n] });
  const weight = rounded(b, 128);
  const columns = columnsOf(scalars(weight.data), n);
  return differentiable({
    family: "matmul",
    name: `weights in ${dtype}`,
    inputs: { a },
    engine: (x) => matmul(x.a, tensor(weight.data, weight.shape, dtype)),
    definition: (x) => rowsOf(x.a, k).flatMap((row) => columns.map((column) => dot(row, column))),
  });
}

function columnsOf(values: readonly Scalar[], cols: number): Scalar[][] {
  const rows = rowsOf(values, cols);
  return Array.from({ length: cols }, (_, c) => rows.map((row) => row[c] as Scalar));
}

/**
 * Multiples of 2⁻⁸, which f16 holds exactly, or of 2⁻⁷, which bf16 does too: what is tested is the kernel, and not the
 * rounding of its operands.
 */
function rounded({ shape, data }: Operand, steps: 128 | 256 = 256): Operand {
  return { shape, data: data.map((x) => Math.round(steps * x) / steps) };
}

/** Runs something with one variant in use wherever it can be. Throws when the engine itself has found it wrong. */
async function preferring<T>(
  device: Device,
  variant: string,
  isRounding: boolean,
  run: () => Promise<T>,
): Promise<T> {
  const { tuning, matmulPrecision } = device;
  tuning.preferred = variant;
  if (isRounding) device.matmulPrecision = "f16";
  try {
    const result = await run();
    for (const [id, reason] of Object.entries(tuning.report().rejected)) {
      if (id.startsWith(`matmul ${variant} `)) throw new Error(reason);
    }
    return result;
  } finally {
    tuning.preferred = undefined;
    device.matmulPrecision = matmulPrecision;
  }
}
