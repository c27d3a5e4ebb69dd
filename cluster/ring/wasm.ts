/**
 * A small assembler of WebAssembly: as much of it as the kernels of `reducer-module.ts` need, and what is used of the
 * `WebAssembly` object, which TypeScript counts among the types of browsers.
 *
 * Code is a list of bytes. An instruction takes the code of its operands and puts itself behind it, so nested calls read
 * as expressions. Source: WebAssembly Core Specification 2.0, chapter 5, with the memories of the threads proposal.
 */

/** Instructions, encoded. */
export type Code = readonly number[];

/** A parameter or a variable of a function. */
export interface Local {
  readonly get: Code;
  set(value: Code): Code;
}

/** A memory, shared or not. */
export interface WasmMemory {
  readonly buffer: ArrayBufferLike;
}

interface WasmApi {
  readonly Memory: new (descriptor: {
    initial: number;
    maximum: number;
    shared: boolean;
  }) => WasmMemory;
  readonly Module: new (bytes: Uint8Array<ArrayBuffer>) => object;
  readonly Instance: new (
    module: object,
    imports: { memory: { memory: WasmMemory } },
  ) => { readonly exports: unknown };
}

const api = (globalThis as unknown as { WebAssembly: WasmApi }).WebAssembly;

const PAGE = 65_536;
const I32 = 0x7f;
const V128 = 0x7b;
const NOTHING = 0x40;

/** A memory of at least so many bytes, all 0, at most 4 GiB. A shared one can be posted to worker threads. */
export function allocateMemory(bytes: number, isShared: boolean): WasmMemory {
  const pages = Math.ceil(bytes / PAGE);
  return new api.Memory({ initial: pages, maximum: pages, shared: isShared });
}

/** Code, of no memory in particular. */
export type WasmModule = object;

/** The code of a module that has been assembled. */
export function compile(bytes: Uint8Array<ArrayBuffer>): WasmModule {
  return new api.Module(bytes);
}

/** The functions of a module, over a memory. */
export function instantiate(module: WasmModule, memory: WasmMemory): unknown {
  return new api.Instance(module, { memory: { memory } }).exports;
}

/** A vector instruction behind its operands. */
const simd = (opcode: number, ...operands: readonly Code[]): Code => [
  ...operands.flat(),
  0xfd,
  ...unsigned(opcode),
];
/** A vector instruction on the memory at a pointer; the alignment it may count on is 1. */
const access = (opcode: number, at: Local, offset: number, ...value: readonly Code[]): Code => [
  ...simd(opcode, at.get, ...value),
  0,
  ...unsigned(offset),
];

export const i32 = {
  const: (value: number): Code => [0x41, ...signed(value | 0)],
  eqz: (a: Code): Code => [...a, 0x45],
  add: (a: Code, b: Code): Code => [...a, ...b, 0x6a],
  sub: (a: Code, b: Code): Code => [...a, ...b, 0x6b],
  mul: (a: Code, b: Code): Code => [...a, ...b, 0x6c],
  rotl: (a: Code, b: Code): Code => [...a, ...b, 0x77],
};

export const v128 = {
  load: (at: Local, offset: number): Code => access(0x00, at, offset),
  /** Eight i8, each widened to i16. */
  load8x8s: (at: Local, offset: number): Code => access(0x01, at, offset),
  /** Four u16, each widened to u32. */
  load16x4u: (at: Local, offset: number): Code => access(0x04, at, offset),
  /** One f32 or i32, four times. */
  load32splat: (at: Local): Code => access(0x09, at, 0),
  store: (at: Local, offset: number, value: Code): Code => access(0x0b, at, offset, value),
  /** The lowest of the four 32-bit lanes. */
  store32: (at: Local, value: Code): Code => [...access(0x5a, at, 0, value), 0],
  and: (a: Code, b: Code): Code => simd(0x4e, a, b),
  or: (a: Code, b: Code): Code => simd(0x50, a, b),
  /** Bits of `a` where the mask has ones, else those of `b`. */
  select: (a: Code, b: Code, mask: Code): Code => simd(0x52, a, b, mask),
  anyTrue: (a: Code): Code => simd(0x53, a),
  /** The four 32-bit lanes in another order. */
  lanes: (a: Local, ...order: readonly number[]): Code => [
    ...simd(0x0d, a.get, a.get),
    ...order.flatMap((lane) => [0, 1, 2, 3].map((byte) => 4 * lane + byte)),
  ],
};

export const i8x16 = {
  /** Two vectors of i16, saturated. */
  narrow: (a: Code, b: Code): Code => simd(0x65, a, b),
};

export const i16x8 = {
  /** Two vectors of i32, saturated to i16. */
  narrow: (a: Code, b: Code): Code => simd(0x85, a, b),
  /** Two vectors of i32, saturated to u16. */
  narrowU: (a: Code, b: Code): Code => simd(0x86, a, b),
};

export const i32x4 = {
  splat: (value: number): Code => simd(0x11, i32.const(value)),
  lane: (a: Code, index: number): Code => [...simd(0x1b, a), index],
  eq: (a: Code, b: Code): Code => simd(0x37, a, b),
  /** The lower four of eight i16. */
  extendLow: (a: Code): Code => simd(0xa7, a),
  /** The upper four of eight i16. */
  extendHigh: (a: Code): Code => simd(0xa8, a),
  shl: (a: Code, bits: number): Code => simd(0xab, a, i32.const(bits)),
  shrU: (a: Code, bits: number): Code => simd(0xad, a, i32.const(bits)),
  add: (a: Code, b: Code): Code => simd(0xae, a, b),
  sub: (a: Code, b: Code): Code => simd(0xb1, a, b),
  mul: (a: Code, b: Code): Code => simd(0xb5, a, b),
  maxU: (a: Code, b: Code): Code => simd(0xb9, a, b),
};

export const f32x4 = {
  splat: (value: number): Code => simd(0x13, [0x43, ...bytesOfF32(value)]),
  ne: (a: Code, b: Code): Code => simd(0x42, a, b),
  add: (a: Code, b: Code): Code => simd(0xe4, a, b),
  sub: (a: Code, b: Code): Code => simd(0xe5, a, b),
  mul: (a: Code, b: Code): Code => simd(0xe6, a, b),
  div: (a: Code, b: Code): Code => simd(0xe7, a, b),
  /** `b` where it is less, else `a`. */
  pmin: (a: Code, b: Code): Code => simd(0xea, a, b),
  /** `b` where it is greater, else `a`. */
  pmax: (a: Code, b: Code): Code => simd(0xeb, a, b),
  fromI32: (a: Code): Code => simd(0xfa, a),
};

/** Code for 0, 1, … count − 1, one behind the other. */
export function unroll(count: number, code: (index: number) => Code): Code {
  return Array.from({ length: count }, (_, index) => code(index)).flat();
}

/** Counts a variable down to 0, running the body once for each. */
export function countDown(counter: Local, body: Code): Code {
  const next = [...counter.set(i32.sub(counter.get, i32.const(1))), ...counter.get];
  const loop = [0x03, NOTHING, ...body, ...next, 0x0d, 0, 0x0b]; // loop … br_if 0 end
  return [0x02, NOTHING, ...i32.eqz(counter.get), 0x0d, 0, ...loop, 0x0b]; // block … br_if 0 … end
}

/** Moves a pointer on. */
export function advance(pointer: Local, bytes: number): Code {
  return pointer.set(i32.add(pointer.get, i32.const(bytes)));
}

/** Hands out the variables of a function. */
export class Variables {
  readonly #types: number[] = [];
  readonly #parameters: number;
  #constants: Code = [];

  constructor(parameters: number) {
    this.#parameters = parameters;
  }

  i32(): Local {
    return this.#add(I32);
  }

  v128(): Local {
    return this.#add(V128);
  }

  /** A vector that is computed once, before all else. */
  constant(value: Code): Local {
    const local = this.v128();
    this.#constants = [...this.#constants, ...local.set(value)];
    return local;
  }

  /** The body of the function: its variables, its constants, its code. */
  body(code: Code): Code {
    const types = this.#types.map((type) => [1, type]);
    return sized([...list(types), ...this.#constants, ...code, 0x0b]);
  }

  #add(type: number): Local {
    this.#types.push(type);
    return local(this.#parameters + this.#types.length - 1);
  }
}

/** A function of i32 parameters, exported by its name. */
export interface Kernel {
  readonly name: string;
  readonly parameters: number;
  readonly isQuery: boolean;
  readonly body: Code;
}

/** A function that returns nothing. */
export function kernel(
  name: string,
  define: (variables: Variables, ...parameters: Local[]) => Code,
): Kernel {
  const parameters = define.length - 1;
  const variables = new Variables(parameters);
  const code = define(variables, ...Array.from({ length: parameters }, (_, index) => local(index)));
  return { name, parameters, isQuery: false, body: variables.body(code) };
}

/** A function that returns an i32. */
export function query(...definition: Parameters<typeof kernel>): Kernel {
  return { ...kernel(...definition), isQuery: true };
}

/** The bytes of a module that exports kernels over one memory, which it imports. */
export function assemble(kernels: readonly Kernel[], isShared: boolean): Uint8Array<ArrayBuffer> {
  const types = kernels.map(({ parameters, isQuery }) => [
    0x60,
    ...list(Array.from({ length: parameters }, () => [I32])),
    ...list(isQuery ? [[I32]] : []),
  ]);
  const limits = isShared ? [0x03, 0, ...unsigned(PAGE)] : [0x00, 0];
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0], // \0asm, version 1
    ...section(1, types),
    ...section(2, [[...text("memory"), ...text("memory"), 0x02, ...limits]]),
    ...section(
      3,
      kernels.map((_, index) => unsigned(index)),
    ),
    ...section(
      7,
      kernels.map(({ name }, index) => [...text(name), 0x00, ...unsigned(index)]),
    ),
    ...section(
      10,
      kernels.map(({ body }) => body),
    ),
  ]);
}

function section(id: number, items: readonly Code[]): Code {
  return [id, ...sized(list(items))];
}

function list(items: readonly Code[]): Code {
  return [...unsigned(items.length), ...items.flat()];
}

function sized(code: Code): Code {
  return [...unsigned(code.length), ...code];
}

function text(name: string): Code {
  return sized([...Buffer.from(name)]);
}

function local(index: number): Local {
  return {
    get: [0x20, ...unsigned(index)],
    set: (value) => [...value, 0x21, ...unsigned(index)],
  };
}

function bytesOfF32(value: number): Code {
  return [...new Uint8Array(Float32Array.of(value).buffer)];
}

/** LEB128. */
function unsigned(value: number): Code {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)];
}

/** Signed LEB128 of an i32. */
function signed(value: number): Code {
  const isLast = value >= -64 && value < 64;
  return isLast ? [value & 0x7f] : [(value & 0x7f) | 0x80, ...signed(value >> 7)];
}
