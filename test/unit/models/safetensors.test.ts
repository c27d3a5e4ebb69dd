import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bytesSource } from "../../../engine/models/byte-source.ts";
import { bf16ToF32, f16ToF32 } from "../../../engine/models/float-formats.ts";
import {
  readSafetensorsHeader,
  readTensor,
  type SafetensorsDType,
  tensorBytes,
} from "../../../engine/models/safetensors.ts";
import { safetensorsHeader, safetensorsParts } from "../../../engine/models/safetensors-writer.ts";
import { codeOf, rejectionOf } from "../../support/errors.ts";
import { fileOf, floatTensor, joined } from "../../support/safetensors.ts";

const golden = new URL("../../golden/safetensors/", import.meta.url);

interface Golden {
  readonly metadata: Record<string, string>;
  readonly tensors: Record<string, { dtype: string; shape: number[]; values: unknown[] }>;
}

describe("a file that the reference implementation wrote", () => {
  const bytes = readFileSync(new URL("mixed.safetensors", golden));
  const expected: Golden = JSON.parse(readFileSync(new URL("mixed.json", golden), "utf8"));

  test("gives the same names, shapes, values and metadata", async () => {
    const source = bytesSource("mixed.safetensors", bytes);
    const { entries, metadata } = await readSafetensorsHeader(source);
    expect(metadata).toEqual(expected.metadata);
    expect([...entries.keys()].sort()).toEqual(Object.keys(expected.tensors).sort());
    for (const entry of entries.values()) {
      const values = valuesOf(entry.dtype, await joined(readTensor(source, entry)));
      const { dtype, shape } = entry;
      expect({ dtype, shape, values }, entry.name).toEqual(expected.tensors[entry.name]);
    }
  });

  test("is written again byte for byte", async () => {
    const source = bytesSource("mixed.safetensors", bytes);
    const { entries, metadata } = await readSafetensorsHeader(source);
    const copies = [...entries.values()].map((entry) => ({
      ...entry,
      bytes: () => readTensor(source, entry, { chunkBytes: 8 }),
    }));
    expect(Buffer.from(await joined(safetensorsParts(copies, metadata)))).toEqual(bytes);
  });
});

describe("what is written", () => {
  const dtype = fc.constantFrom<SafetensorsDType>("F32", "F16", "BF16", "I64", "BOOL", "F8_E4M3");
  const tensor = fc
    .record({
      name: fc.string({ unit: "grapheme" }).filter((name) => name !== "__metadata__"),
      dtype,
      shape: fc.array(fc.nat(4), { maxLength: 4 }),
    })
    .chain((info) => {
      const length = tensorBytes(info.dtype, info.shape);
      const data = fc.uint8Array({ minLength: length, maxLength: length });
      return data.map((bytes) => ({ ...info, bytes: () => bytes }));
    });
  const tensors = fc.uniqueArray(tensor, { selector: ({ name }) => name, maxLength: 6 });
  const metadata = fc.dictionary(fc.string({ unit: "grapheme" }), fc.string());

  test("is read back: names, order, dtypes, shapes, metadata and every byte", async () => {
    await fc.assert(
      fc.asyncProperty(tensors, metadata, async (written, notes) => {
        const source = bytesSource("x", await joined(safetensorsParts(written, notes)));
        const header = await readSafetensorsHeader(source);
        expect({ ...header.metadata }).toEqual({ ...notes });
        expect([...header.entries.keys()]).toEqual(written.map(({ name }) => name));
        for (const { name, dtype, shape, bytes } of written) {
          const entry = header.entries.get(name);
          expect(entry).toMatchObject({ name, dtype, shape });
          if (entry) expect(await joined(readTensor(source, entry))).toEqual(bytes());
        }
      }),
      { numRuns: 300 },
    );
  });

  test("keeps the order of names that look like numbers, and names of Object's own", async () => {
    const names = ["2", "__proto__", "1", "constructor", ""];
    const file = await joined(safetensorsParts(names.map((name) => floatTensor(name, [1]))));
    const { entries } = await readSafetensorsHeader(bytesSource("x", file));
    expect([...entries.keys()]).toEqual(names);
  });

  test("starts its data at a multiple of 8", () => {
    for (let n = 0; n < 16; n++) {
      const header = safetensorsHeader([floatTensor("x".repeat(n), [1])]);
      expect(header.length % 8).toBe(0);
      expect(Number(new DataView(header.buffer).getBigUint64(0, true))).toBe(header.length - 8);
    }
  });

  test("may come in parts of any size", async () => {
    async function* parts(): AsyncGenerator<Uint8Array> {
      for (const size of [1, 0, 3, 4]) yield new Uint8Array(size).fill(size);
    }
    const file = await joined(
      safetensorsParts([{ name: "x", dtype: "F32", shape: [2], bytes: parts }]),
    );
    expect([...file.slice(-8)]).toEqual([1, 3, 3, 3, 4, 4, 4, 4]);
  });
});

describe("readTensor", () => {
  test("holds no more than a chunk, and splits no element", async () => {
    const file = await joined(safetensorsParts([floatTensor("x", [...Array(25).keys()])]));
    const source = bytesSource("x", file);
    const entry = (await readSafetensorsHeader(source)).entries.get("x");
    if (entry === undefined) return expect.fail("no tensor");
    const sizes: number[] = [];
    for await (const { length } of readTensor(source, entry, { chunkBytes: 47 }))
      sizes.push(length);
    expect(sizes).toEqual([40, 40, 20]);
    for (const chunkBytes of [0, 7, -8, Number.NaN, Number.POSITIVE_INFINITY]) {
      const read = joined(readTensor(source, entry, { chunkBytes }));
      expect(await rejectionOf(read), `${chunkBytes}`).toBe("argument_invalid");
    }
  });
});

describe("the writer refuses", () => {
  const good = { name: "x", dtype: "F32", shape: [1] } as const;

  test.each<[string, unknown[], Record<string, unknown>?]>([
    ["a name that is used twice", [good, good]],
    ["the name of the metadata", [{ ...good, name: "__metadata__" }]],
    ["a name with half a character", [{ ...good, name: "a\ud800" }]],
    ["a name that is no string", [{ ...good, name: 1 }]],
    ["an unknown dtype", [{ ...good, dtype: "f32" }]],
    ["a dtype of Object's own", [{ ...good, dtype: "constructor" }]],
    ["a negative size", [{ ...good, shape: [-1] }]],
    ["a fractional size", [{ ...good, shape: [1.5] }]],
    ["more bytes than numbers can count", [{ ...good, shape: [2 ** 50, 2 ** 50] }]],
    ["half a byte", [{ ...good, dtype: "F4" }]],
    ["too many dimensions", [{ ...good, shape: Array(65).fill(1) }]],
    ["metadata that is no string", [good], { step: 3 }],
  ])("%s", (_, tensors, metadata = {}) => {
    const write = (): Uint8Array =>
      safetensorsHeader(tensors as [], metadata as Record<string, string>);
    expect(codeOf(write)).toBe("argument_invalid");
  });

  test.each([0, 3, 5, 8])("%i bytes for a tensor of 4", async (count) => {
    const bytes = (): Uint8Array => new Uint8Array(count);
    const parts = joined(safetensorsParts([{ ...good, bytes }]));
    expect(await rejectionOf(parts)).toBe("argument_invalid");
  });
});

test("tensorBytes never loses count", () => {
  expect(tensorBytes("F32", [])).toBe(4);
  expect(tensorBytes("BF16", [3, 5])).toBe(30);
  expect(tensorBytes("F6_E2M3", [4])).toBe(3);
  expect(tensorBytes("I64", [0, 2 ** 50])).toBe(0);
  expect(tensorBytes("U8", [2 ** 53 - 1, 2 ** 53 - 1])).toBe(Number.POSITIVE_INFINITY);
});

test("a header is read from a view into a larger array", async () => {
  const file = fileOf(
    { x: { dtype: "U8", shape: [2], data_offsets: [0, 2] } },
    Uint8Array.of(7, 9),
  );
  const larger = new Uint8Array(file.length + 9);
  larger.set(file, 3);
  const source = bytesSource("x", larger.subarray(3, 3 + file.length));
  const entry = (await readSafetensorsHeader(source)).entries.get("x");
  expect(entry && [...(await joined(readTensor(source, entry)))]).toEqual([7, 9]);
});

function valuesOf(dtype: SafetensorsDType, bytes: Uint8Array): unknown[] {
  if (dtype === "F32") return [...new Float32Array(bytes.buffer)];
  if (dtype === "F16") return [...f16ToF32(bytes)];
  if (dtype === "BF16") return [...bf16ToF32(bytes)];
  if (dtype === "I64") return [...new BigInt64Array(bytes.buffer)].map(String);
  return [...bytes];
}
