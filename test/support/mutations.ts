/** Mutations of safetensors files, for fuzzing. */
import fc from "fast-check";
import { fileOf } from "./safetensors.ts";

/** Makes another file of a file. */
export type Mutation = (file: Uint8Array) => Uint8Array;

/** A place as a share of what it is in. */
const place = fc.nat(2 ** 30 - 1).map((share) => share / 2 ** 30);
const indexIn = (file: Uint8Array, at: number): number => Math.floor(at * file.length);

/** In the bytes: one bit, one byte, the end cut off, a stretch copied over another or taken out, bytes put in. */
export const inBytes: fc.Arbitrary<Mutation> = fc.oneof(
  fc.tuple(place, fc.nat(7)).map(([at, bit]) => replaced(at, (byte) => byte ^ (1 << bit))),
  fc.tuple(place, fc.nat(255)).map(([at, byte]) => replaced(at, () => byte)),
  fc
    .tuple(place, fc.constantFrom(...'{}[]",:0123456789-e.\\ '))
    .map(([at, symbol]) => replaced(at / 2, () => symbol.charCodeAt(0))),
  place.map((at) => spliced(at, Number.POSITIVE_INFINITY, new Uint8Array())),
  fc.tuple(place, place, fc.nat(40)).map(([from, to, count]) => copied(from, to, count)),
  fc.tuple(place, fc.nat(40)).map(([from, count]) => spliced(from, count, new Uint8Array())),
  fc.tuple(place, fc.uint8Array({ maxLength: 9 })).map(([at, more]) => spliced(at, 0, more)),
);

/** In the length before the header: any number, or a little off. */
const inLength: fc.Arbitrary<Mutation> = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((length) => withLength(() => length)),
  fc.bigInt({ min: -20n, max: 20n }).map((by) => withLength((length) => length + by)),
);

const number = fc.oneof(
  fc.nat(80),
  fc.constantFrom(-1, 0.5, 1e300, 2 ** 31, 2 ** 32, 2 ** 53 - 1, 2 ** 53, 2 ** 63),
);
const junk = fc.oneof(
  number,
  fc.constantFrom(null, true, "", "F32", "BF16", "__proto__", "I64", "U8", "F4", {}, [], [[1]]),
);

/** In the header's JSON: a field of a tensor replaced, taken out or added; tensors renamed, copied, taken out, turned round. */
const inJson: fc.Arbitrary<Mutation> = fc.oneof(
  fc
    .tuple(place, fc.constantFrom("dtype", "shape", "data_offsets", "other", "__proto__"), junk)
    .map(([which, key, value]) => inTensor(which, (tensor) => ({ ...tensor, [key]: value }))),
  fc
    .tuple(place, fc.constantFrom("shape", "data_offsets"), place, number)
    .map(([which, key, at, value]) =>
      inTensor(which, (tensor) => {
        const list = [...(tensor[key] as number[])];
        list[Math.floor(at * (list.length + 1))] = value;
        return { ...tensor, [key]: list };
      }),
    ),
  fc
    .tuple(place, fc.constantFrom("dtype", "shape", "data_offsets"))
    .map(([which, key]) => inTensor(which, (tensor) => ({ ...tensor, [key]: undefined }))),
  fc.tuple(place, place).map(([from, to]) => inHeader((all) => withCopy(all, from, to))),
  place.map((which) => inHeader((all) => all.filter((_, i) => !isAt(which, i, all)))),
  fc
    .tuple(place, fc.constantFrom("__metadata__", "__proto__", "", "b"))
    .map(([which, name]) =>
      inHeader((all) => all.map((pair, i) => (isAt(which, i, all) ? [name, pair[1]] : pair))),
    ),
  fc.constant(inHeader((all) => all.toReversed())),
);

/** One to three mutations of a safetensors file: of its bytes, its length, its JSON. */
export const mutations: fc.Arbitrary<Mutation[]> = fc.array(
  fc.oneof(inBytes, inLength, { arbitrary: inJson, weight: 2 }),
  {
    minLength: 1,
    maxLength: 3,
  },
);

function replaced(at: number, by: (byte: number) => number): Mutation {
  return (file) => {
    const index = indexIn(file, at);
    return file.length === 0 ? file : file.with(index, by(file[index] as number));
  };
}

function copied(from: number, to: number, count: number): Mutation {
  return (file) => {
    const start = indexIn(file, from);
    return file.slice().copyWithin(indexIn(file, to), start, start + count);
  };
}

function spliced(at: number, count: number, more: Uint8Array): Mutation {
  return (file) => {
    const index = indexIn(file, at);
    return Uint8Array.from([...file.slice(0, index), ...more, ...file.slice(index + count)]);
  };
}

function withLength(change: (length: bigint) => bigint): Mutation {
  return (file) => {
    if (file.length < 8) return file;
    const changed = file.slice();
    const view = new DataView(changed.buffer);
    view.setBigUint64(0, BigInt.asUintN(64, change(view.getBigUint64(0, true))), true);
    return changed;
  };
}

type Pair = [name: string, value: unknown];

/** Changes the header as a list of pairs, so that a name can be there twice. A file without a header stays as it is. */
function inHeader(change: (pairs: Pair[]) => Pair[]): Mutation {
  return (file) => {
    let [header, data]: [object, Uint8Array] = [{}, file];
    try {
      const end = 8 + Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
      header = JSON.parse(new TextDecoder().decode(file.slice(8, end)));
      data = file.slice(end);
    } catch {
      return file; // an earlier mutation broke it
    }
    const pairs = change(Object.entries(header));
    const fields = pairs.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`);
    return fileOf(`{${fields.join(",")}}`, data);
  };
}

function inTensor(
  which: number,
  change: (tensor: Record<string, unknown>) => Record<string, unknown>,
): Mutation {
  return inHeader((pairs) =>
    pairs.map(([name, value], i) =>
      isAt(which, i, pairs) && isTensor(value) ? [name, change(value)] : [name, value],
    ),
  );
}

function isAt(which: number, index: number, pairs: readonly Pair[]): boolean {
  return index === Math.floor(which * pairs.length);
}

function isTensor(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  return (
    "shape" in value &&
    Array.isArray(value.shape) &&
    "data_offsets" in value &&
    Array.isArray(value.data_offsets)
  );
}

function withCopy(pairs: Pair[], from: number, to: number): Pair[] {
  const pair = pairs[Math.floor(from * pairs.length)];
  return pair === undefined ? pairs : pairs.toSpliced(Math.floor(to * pairs.length), 0, pair);
}
