/**
 * One matmul variant on one shape, against the oracle: operands lie between NaN, in matrices with gaps between rows; c
 * starts as NaN with canaries in its gaps and behind its end. Operands may be held in 16 bits.
 */
import { expect } from "vitest";
import type { Device } from "../../engine/gpu/device.ts";
import { shaderSource } from "../../engine/graph/shader-source.ts";
import type { Held } from "../../engine/ops/held-operands.ts";
import { heldStep } from "../../engine/ops/matmul.ts";
import {
  type MatmulDeviceFacts,
  type MatmulMode,
  type MatmulOperand,
  type MatmulShape,
  type MatmulVariant,
  planMatmul,
} from "../../engine/ops/matmul-variants.ts";
import { decoded, type HostArray, toHostArray } from "../../engine/tensor/dtype.ts";
import { type MatmulLayout, matmulForward } from "../reference/matmul.ts";
import { expectClose, randoms } from "./gpu.ts";
import { runKernel } from "./kernel.ts";
import { summed, type Tolerance } from "./tolerances.ts";

/** Written where nothing may be written: a number that no product gives. */
const CANARY = 12345.5;

/** Sizes of a case; operands start behind `offset` elements, and rows lie `gap` elements apart. */
export interface MatmulSizes {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly outer?: number;
  readonly inner?: number;
  readonly offset?: number;
  readonly gap?: number;
  /** Whether all inner batches share one b. */
  readonly isShared?: boolean;
}

/** The shape of a case. */
export function matmulShape(mode: MatmulMode, sizes: MatmulSizes): MatmulShape {
  const { m, n, k, outer = 1, inner = 1, offset = 0, gap = 0, isShared = false } = sizes;
  const [lda, ldb, ldc] = [(mode === "TN" ? m : k) + gap, (mode === "NT" ? k : n) + gap, n + gap];
  const innerA = lda * (mode === "TN" ? k : m);
  const innerB = ldb * (mode === "NT" ? n : k);
  return {
    ...{ mode, m, n, k, lda, ldb, ldc, batchOuter: outer, batchInner: inner },
    ...{ offsetA: offset, offsetB: 2 * offset, offsetC: offset },
    ...{ innerA, outerA: inner * innerA, innerC: m * ldc, outerC: inner * m * ldc },
    innerB: isShared ? 0 : innerB,
    outerB: isShared ? innerB : inner * innerB,
  };
}

function layoutOf(s: MatmulShape): MatmulLayout {
  return {
    ...s,
    aRow: s.mode === "TN" ? 1 : s.lda,
    aK: s.mode === "TN" ? s.lda : 1,
    bK: s.mode === "NT" ? 1 : s.ldb,
    bCol: s.mode === "NT" ? s.ldb : 1,
    cRow: s.ldc,
  };
}

/** Visits where each element of each matrix of a batch lies. */
function places(
  s: MatmulShape,
  at: { offset: number; outer: number; inner: number; row: number; col: number },
  [rows, cols]: readonly [number, number],
): number[] {
  const found: number[] = [];
  for (let o = 0; o < s.batchOuter; o++) {
    for (let i = 0; i < s.batchInner; i++) {
      for (let r = 0; r < rows; r++) {
        for (let c = 0; c < cols; c++) {
          found.push(at.offset + o * at.outer + i * at.inner + r * at.row + c * at.col);
        }
      }
    }
  }
  return found;
}

/** Runs `variant` on a case, with a and b held as told, and compares every element with f64. */
export async function expectMatmul(
  device: Device,
  facts: MatmulDeviceFacts,
  variant: MatmulVariant,
  shape: MatmulShape,
  held: Held = { dtype: "f32" },
): Promise<void> {
  const l = layoutOf(shape);
  const random = randoms(shape.m * 31 + shape.n * 7 + shape.k);
  const atA = places(
    shape,
    { offset: l.offsetA, outer: l.outerA, inner: l.innerA, row: l.aRow, col: l.aK },
    [l.m, l.k],
  );
  const atB = places(
    shape,
    { offset: l.offsetB, outer: l.outerB, inner: l.innerB, row: l.bK, col: l.bCol },
    [l.k, l.n],
  );
  const atC = places(
    shape,
    { offset: l.offsetC, outer: l.outerC, inner: l.innerC, row: l.cRow, col: 1 },
    [l.m, l.n],
  );
  const filled = (at: readonly number[]): Float32Array => {
    // operands that are rounded to f16 are chosen so that nothing is lost
    const length = Math.max(...at) + 1 + 64;
    const data = new Float32Array(length + (length % 2)).fill(Number.NaN);
    for (const i of at)
      data[i] = variant.isRounding
        ? Math.round(random.next() * 64 - 32) / 32
        : random.next() * 2 - 1;
    return data;
  };
  const c = new Float32Array(Math.max(...atC) + 1 + 64).fill(CANARY);
  for (const i of atC) c[i] = Number.NaN;
  const plan = planMatmul(variant, facts, shape);
  const scratch = new Float32Array(Math.max(4, plan.scratchElements)).fill(Number.NaN);
  const operands: Record<MatmulOperand, HostArray> = {
    a: toHostArray(filled(atA), held.dtype),
    b: toHostArray(filled(atB), held.dtype),
    c,
    scratch: toHostArray(scratch, held.dtype),
  };
  for (const step of plan.steps) {
    const dispatch = heldStep(step, [held, held]);
    const bindings = step.operands.map((name) => operands[name]);
    const { bindings: after } = await runKernel(device, {
      ...dispatch,
      source: shaderSource(dispatch.name),
      bindings,
    });
    step.operands.forEach((name, i) => {
      operands[name] = after[i] as HostArray;
    });
  }
  const expected = new Float64Array(operands.c.length);
  const numbers = (x: HostArray): Float64Array =>
    Float64Array.from(x, (stored) => decoded(stored, held.dtype));
  matmulForward(l, numbers(operands.a), numbers(operands.b), expected);
  const isProduct = new Set(atC);
  operands.c.forEach((value, i) => {
    if (!isProduct.has(i) && value !== CANARY)
      expect.fail(`${variant.name} wrote ${value} outside of c, at ${i}`);
  });
  const tolerance: Tolerance = summed(shape.k);
  const name = `${variant.name} ${shape.mode} [${l.m}, ${l.k}]·[${l.k}, ${l.n}]`;
  expectClose(
    atC.map((i) => operands.c[i] as number),
    atC.map((i) => expected[i] as number),
    tolerance,
    name,
  );
}
