/**
 * The inner loops of the ring in WebAssembly SIMD. Parameters are byte addresses and a count of whole blocks; addresses
 * need no alignment. Results have the bits of `scalar.ts` where everything is finite.
 */

import { checksumLanes } from "./checksum.ts";
import {
  advance,
  assemble,
  type Code,
  countDown,
  f32x4,
  i8x16,
  i16x8,
  i32,
  i32x4,
  kernel,
  type Local,
  query,
  unroll,
  type Variables,
  v128,
} from "./wasm.ts";
import { BLOCK } from "./wire-type.ts";

/** What a module exports. */
export interface ReducerKernels {
  addF32(sum: number, packed: number, blocks: number): void;
  packBf16(values: number, packed: number, blocks: number): void;
  addBf16(sum: number, packed: number, blocks: number): void;
  unpackBf16(values: number, packed: number, blocks: number): void;
  packInt8(
    values: number,
    residual: number,
    nextResidual: number,
    packed: number,
    blocks: number,
  ): void;
  addInt8(sum: number, packed: number, blocks: number): void;
  unpackInt8(values: number, packed: number, blocks: number): void;
  isFinite(values: number, blocks: number): number;
  isFiniteBf16(packed: number, blocks: number): number;
  isFiniteInt8(packed: number, blocks: number): number;
  /** See `checksum.ts`. */
  checksum(at: number, steps: number): number;
}

/** Elements of an iteration: four vectors of f32. */
const STEP = 16;
const EXPONENT = 0x7f80_0000;
const MAGNITUDE = 0x7fff_ffff;
const QUIET_NAN_BF16 = 0x7fc0;
/** Added to a small number, it leaves the nearest integer, ties to even, in the lowest bits. */
const ROUNDS = 1.5 * 2 ** 23;

/** The module, to import a memory that is shared or one that is not. */
export function reducerModule(isShared: boolean): Uint8Array<ArrayBuffer> {
  const kernels = [
    kernel("addF32", (variables, sum, packed, blocks) =>
      everyStep(variables, blocks, [
        ...unroll(4, (v) =>
          v128.store(sum, 16 * v, f32x4.add(v128.load(packed, 16 * v), v128.load(sum, 16 * v))),
        ),
        ...advance(sum, 4 * STEP),
        ...advance(packed, 4 * STEP),
      ]),
    ),
    kernel("packBf16", packBf16),
    kernel("addBf16", (variables, sum, packed, blocks) =>
      fromBf16(variables, sum, packed, blocks, true),
    ),
    kernel("unpackBf16", (variables, values, packed, blocks) =>
      fromBf16(variables, values, packed, blocks, false),
    ),
    kernel("packInt8", packInt8),
    kernel("addInt8", (variables, sum, packed, blocks) =>
      fromInt8(variables, sum, packed, blocks, true),
    ),
    kernel("unpackInt8", (variables, values, packed, blocks) =>
      fromInt8(variables, values, packed, blocks, false),
    ),
    query("isFinite", allFinite),
    query("isFiniteBf16", allFiniteBf16),
    query("isFiniteInt8", allFiniteInt8),
    query("checksum", checksumLanes),
  ];
  return assemble(kernels, isShared);
}

/** Rounds the upper half of each f32 to nearest, ties to even. NaN stays NaN, which adding to its bits might undo. */
function packBf16(variables: Variables, values: Local, packed: Local, blocks: Local): Code {
  const x = variables.v128();
  const one = variables.constant(i32x4.splat(1));
  const half = variables.constant(i32x4.splat(0x7fff));
  const nan = variables.constant(i32x4.splat(QUIET_NAN_BF16));
  const upper = variables.v128();
  const rounded = (vector: number): Code => {
    const isOdd = v128.and(i32x4.shrU(x.get, 16), one.get);
    const sum = i32x4.add(i32x4.add(x.get, half.get), isOdd);
    const isNan = f32x4.ne(x.get, x.get);
    return [
      ...x.set(v128.load(values, 16 * vector)),
      ...v128.select(nan.get, i32x4.shrU(sum, 16), isNan),
    ];
  };
  return everyStep(variables, blocks, [
    ...unroll(2, (pair) => [
      ...upper.set(rounded(2 * pair)),
      ...v128.store(packed, 16 * pair, i16x8.narrowU(upper.get, rounded(2 * pair + 1))),
    ]),
    ...advance(values, 4 * STEP),
    ...advance(packed, 2 * STEP),
  ]);
}

function fromBf16(
  variables: Variables,
  values: Local,
  packed: Local,
  blocks: Local,
  isAdded: boolean,
): Code {
  return everyStep(variables, blocks, [
    ...unroll(4, (v) => {
      const received = i32x4.shl(v128.load16x4u(packed, 8 * v), 16);
      const result = isAdded ? f32x4.add(received, v128.load(values, 16 * v)) : received;
      return v128.store(values, 16 * v, result);
    }),
    ...advance(values, 4 * STEP),
    ...advance(packed, 2 * STEP),
  ]);
}

/**
 * Of each block first x = values + residual and the scale, then the quotients, and what they lose. Magnitudes are
 * compared as integers, in which NaN is the greatest: it must not get lost. A scale of 0 divides as infinity.
 */
function packInt8(
  variables: Variables,
  values: Local,
  residual: Local,
  nextResidual: Local,
  packed: Local,
  blocks: Local,
): Code {
  const magnitude = variables.constant(i32x4.splat(MAGNITUDE));
  const infinity = variables.constant(i32x4.splat(EXPONENT));
  const most = variables.constant(f32x4.splat(127));
  const least = variables.constant(f32x4.splat(-127));
  const rounds = variables.constant(f32x4.splat(ROUNDS));
  const x = variables.v128();
  const max = variables.v128();
  const scale = variables.v128();
  const divisor = variables.v128();
  const quotients = [0, 1, 2, 3].map(() => variables.v128());
  const isZero = i32x4.eq(scale.get, i32x4.splat(0));
  const greater = (...order: number[]): Code =>
    max.set(i32x4.maxU(max.get, v128.lanes(max, ...order)));

  const measured = [
    ...unroll(4, (v) => [
      ...x.set(f32x4.add(v128.load(values, 16 * v), v128.load(residual, 16 * v))),
      ...v128.store(nextResidual, 16 * v, x.get),
      ...max.set(i32x4.maxU(max.get, v128.and(x.get, magnitude.get))),
    ]),
    ...advance(values, 4 * STEP),
    ...advance(residual, 4 * STEP),
    ...advance(nextResidual, 4 * STEP),
  ];
  const quantised = [
    ...quotients.flatMap((quotient, v) => {
      const exact = f32x4.div(v128.load(nextResidual, 16 * v), divisor.get);
      const bounded = f32x4.pmax(f32x4.pmin(most.get, exact), least.get);
      const kept = f32x4.mul(f32x4.sub(quotient.get, rounds.get), scale.get);
      const lost = f32x4.sub(v128.load(nextResidual, 16 * v), kept);
      return [
        ...quotient.set(f32x4.add(bounded, rounds.get)),
        ...v128.store(nextResidual, 16 * v, lost),
      ];
    }),
    ...v128.store(packed, 0, narrowed(quotients.map(({ get }) => i32x4.sub(get, rounds.get)))),
    ...advance(nextResidual, 4 * STEP),
    ...advance(packed, STEP),
  ];
  return countDown(blocks, [
    ...max.set(i32x4.splat(0)),
    ...everyStepOfBlock(variables, measured),
    ...greater(2, 3, 0, 1),
    ...greater(1, 0, 3, 2),
    ...scale.set(f32x4.div(max.get, most.get)),
    ...divisor.set(v128.or(scale.get, v128.and(isZero, infinity.get))),
    ...v128.store32(packed, scale.get),
    ...advance(packed, 4),
    ...advance(nextResidual, -4 * BLOCK),
    ...everyStepOfBlock(variables, quantised),
  ]);
}

function fromInt8(
  variables: Variables,
  values: Local,
  packed: Local,
  blocks: Local,
  isAdded: boolean,
): Code {
  const scale = variables.v128();
  const bytes = variables.v128();
  const store = (v: number, integers: Code): Code => {
    const received = f32x4.mul(f32x4.fromI32(integers), scale.get);
    const result = isAdded ? f32x4.add(received, v128.load(values, 16 * v)) : received;
    return v128.store(values, 16 * v, result);
  };
  const step = [
    ...unroll(2, (half) => [
      ...bytes.set(v128.load8x8s(packed, 8 * half)),
      ...store(2 * half, i32x4.extendLow(bytes.get)),
      ...store(2 * half + 1, i32x4.extendHigh(bytes.get)),
    ]),
    ...advance(values, 4 * STEP),
    ...advance(packed, STEP),
  ];
  return countDown(blocks, [
    ...scale.set(v128.load32splat(packed)),
    ...advance(packed, 4),
    ...everyStepOfBlock(variables, step),
  ]);
}

function allFinite(variables: Variables, values: Local, blocks: Local): Code {
  const { look, answer } = finiteness(variables);
  const step = [...unroll(4, (v) => look(v128.load(values, 16 * v))), ...advance(values, 4 * STEP)];
  return [...everyStep(variables, blocks, step), ...answer];
}

function allFiniteBf16(variables: Variables, packed: Local, blocks: Local): Code {
  const { look, answer } = finiteness(variables);
  const step = [
    ...unroll(4, (v) => look(i32x4.shl(v128.load16x4u(packed, 8 * v), 16))),
    ...advance(packed, 2 * STEP),
  ];
  return [...everyStep(variables, blocks, step), ...answer];
}

/** What a scale can say at most is finite where all that it says is. */
function allFiniteInt8(variables: Variables, packed: Local, blocks: Local): Code {
  const most = variables.constant(f32x4.splat(127));
  const { look, answer } = finiteness(variables);
  const block = [
    ...look(f32x4.mul(v128.load32splat(packed), most.get)),
    ...advance(packed, 4 + BLOCK),
  ];
  return [...countDown(blocks, block), ...answer];
}

/** Looks at vectors, and says in the end whether there was neither NaN nor infinity: those have an exponent of ones. */
function finiteness(variables: Variables): { look(vector: Code): Code; readonly answer: Code } {
  const exponent = variables.constant(i32x4.splat(EXPONENT));
  const bad = variables.v128();
  return {
    look: (vector) => {
      const isBad = i32x4.eq(v128.and(vector, exponent.get), exponent.get);
      return bad.set(v128.or(bad.get, isBad));
    },
    answer: i32.eqz(v128.anyTrue(bad.get)),
  };
}

/** Sixteen i32 within ±127 as i8. */
function narrowed(vectors: readonly Code[]): Code {
  const [a, b, c, d] = vectors as [Code, Code, Code, Code];
  return i8x16.narrow(i16x8.narrow(a, b), i16x8.narrow(c, d));
}

function everyStep(variables: Variables, blocks: Local, step: Code): Code {
  return countDown(blocks, everyStepOfBlock(variables, step));
}

function everyStepOfBlock(variables: Variables, step: Code): Code {
  const steps = variables.i32();
  return [...steps.set(i32.const(BLOCK / STEP)), ...countDown(steps, step)];
}
