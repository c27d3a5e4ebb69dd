/**
 * Mutated files: each is refused with a `ForgeError`, or read as tensors that cover its data exactly. Nothing crashes,
 * and what was read can be written and read again.
 */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { expect, test } from "vitest";
import { ForgeError } from "../../../engine/error.ts";
import { bytesSource } from "../../../engine/models/byte-source.ts";
import {
  readSafetensorsHeader,
  readTensor,
  type SafetensorsHeader,
  tensorBytes,
} from "../../../engine/models/safetensors.ts";
import { safetensorsParts } from "../../../engine/models/safetensors-writer.ts";
import { type CheckpointFiles, openCheckpoint } from "../../../engine/models/shards.ts";
import { inBytes, mutations } from "../../support/mutations.ts";
import { floatTensor, joined } from "../../support/safetensors.ts";

const SEED = 20_260_101;

const golden = new URL("../../golden/safetensors/mixed.safetensors", import.meta.url);
const FILES: readonly Uint8Array[] = [
  new Uint8Array(readFileSync(golden)),
  await joined(safetensorsParts([floatTensor("a.weight", [1, 2, 3]), floatTensor("b", [])])),
  await joined(
    safetensorsParts(
      [1, 2, 3, 4].map((n) => ({
        name: `layers.${n}`,
        dtype: "U8",
        shape: [n, 2],
        bytes: () => new Uint8Array(2 * n).fill(n),
      })),
      { format: "pt" },
    ),
  ),
];

test("20,000 mutated files are refused or read as what they are", { timeout: 60_000 }, async () => {
  let [read, refused] = [0, 0];
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...FILES), mutations, async (original, steps) => {
      const file = steps.reduce<Uint8Array>((bytes, mutate) => mutate(bytes), original);
      const header = await headerOf(file);
      if (header === undefined) refused++;
      else {
        read++;
        await expectWhole(file, header);
      }
    }),
    { numRuns: 20_000, seed: SEED },
  );
  // a fuzzer that only ever breaks the braces tests nothing
  expect(read).toBeGreaterThan(1000);
  expect(refused).toBeGreaterThan(10_000);
});

test("4,000 mutated indices are refused or lead to the tensors that they name", async () => {
  const index = new TextEncoder().encode(
    JSON.stringify({
      metadata: { total_size: 24.5 },
      weight_map: { "a.weight": "1", b: "1", c: "2" },
    }),
  );
  const shards = new Map([
    ["1", FILES[1] as Uint8Array],
    ["2", await joined(safetensorsParts([floatTensor("c", [1, 2])]))],
  ]);
  let [read, refused] = [0, 0];
  await fc.assert(
    fc.asyncProperty(fc.array(inBytes, { minLength: 1, maxLength: 2 }), async (steps) => {
      const mutated = steps.reduce<Uint8Array>((bytes, mutate) => mutate(bytes), index);
      const files: CheckpointFiles = {
        open: async (name) => {
          const bytes = name.endsWith(".index.json") ? mutated : shards.get(name);
          return bytes && bytesSource(name, bytes);
        },
      };
      try {
        const { tensors } = await openCheckpoint(files);
        read++;
        for (const [name, { source, entry }] of tensors) {
          expect((await readSafetensorsHeader(source)).entries.get(name)).toEqual(entry);
        }
      } catch (error) {
        if (!(error instanceof ForgeError) || error.code !== "file_invalid") throw error;
        refused++;
      }
    }),
    { numRuns: 4000, seed: SEED },
  );
  expect(read).toBeGreaterThan(100);
  expect(refused).toBeGreaterThan(1000);
});

/** The header, or undefined when the file was refused as it should be; any other error fails. */
async function headerOf(file: Uint8Array): Promise<SafetensorsHeader | undefined> {
  try {
    return await readSafetensorsHeader(bytesSource("fuzzed.safetensors", file));
  } catch (error) {
    if (!(error instanceof ForgeError) || error.code !== "file_invalid") throw error;
    expect(error.message).toContain("fuzzed.safetensors");
    return undefined;
  }
}

async function expectWhole(
  file: Uint8Array,
  { entries, metadata }: SafetensorsHeader,
): Promise<void> {
  const headerBytes = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  const owners = new Uint8Array(file.length).fill(1, 0, 8 + headerBytes);
  for (const [name, entry] of entries) {
    expect(entry.name).toBe(name);
    expect(entry.shape.every((size) => Number.isSafeInteger(size) && size >= 0)).toBe(true);
    expect(entry.end - entry.begin).toBe(tensorBytes(entry.dtype, entry.shape));
    expect(entry.end).toBeLessThanOrEqual(file.length);
    for (let at = entry.begin; at < entry.end; at++) owners[at] = (owners[at] as number) + 1;
  }
  expect(owners.every((count) => count === 1)).toBe(true);
  for (const value of Object.values(metadata)) expect(typeof value).toBe("string");

  const source = bytesSource("x", file);
  const copies = [...entries.values()].map((entry) => ({
    ...entry,
    bytes: () => readTensor(source, entry),
  }));
  const again = bytesSource("x", await joined(safetensorsParts(copies, metadata)));
  const { entries: copied } = await readSafetensorsHeader(again);
  for (const [name, entry] of entries) {
    const copy = copied.get(name);
    if (copy === undefined) expect.fail(`${name} was lost`);
    expect(await joined(readTensor(again, copy))).toEqual(file.slice(entry.begin, entry.end));
  }
}
