import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { readSafetensorsHeader, readTensor, safetensorsParts } from "../../../engine/index.ts";
import { openFileSource } from "../../../src/models/file-source.ts";
import { errorOf } from "../../support/errors.ts";
import { floatTensor, joined } from "../../support/safetensors.ts";

const folder = mkdtempSync(join(tmpdir(), "forge-gpu-file-source-"));
afterAll(() => rmSync(folder, { recursive: true }));

function fileOf(name: string, bytes: Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

describe("openFileSource", () => {
  test("reads at offsets, in any order and at the same time", async () => {
    const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i % 251);
    const source = await openFileSource(fileOf("bytes", bytes));
    expect(source.size).toBe(1000);
    const places = [900, 0, 500].map((offset) => source.read(offset, 100));
    const [last, first, middle] = await Promise.all(places);
    expect([first, middle, last]).toEqual([0, 500, 900].map((at) => bytes.slice(at, at + 100)));
    expect(await source.read(1000, 0)).toHaveLength(0);
    await source.close();
  });

  test("reads into the room that it is given", async () => {
    const bytes = Uint8Array.from({ length: 100 }, (_, i) => i);
    const source = await openFileSource(fileOf("room", bytes));
    const room = new Uint8Array(60);
    const read = await source.read(30, 50, room);
    expect(read).toEqual(bytes.slice(30, 80));
    expect(read.buffer).toBe(room.buffer);
    const entry = { name: "x", dtype: "U8", shape: [85], begin: 10, end: 95 } as const;
    const parts: number[] = [];
    for await (const part of readTensor(source, entry, { room })) {
      expect(part.buffer).toBe(room.buffer);
      parts.push(part.length);
    }
    expect(parts).toEqual([56, 29]);
    expect(room.slice(0, 29)).toEqual(bytes.slice(66, 95));
    const tight = readTensor(source, entry, { room: room.subarray(0, 7) });
    expect(await errorOf(joined(tight))).toMatchObject({ code: "argument_invalid" });
    await source.close();
  });

  test("carries a safetensors file", async () => {
    const path = fileOf(
      "x.safetensors",
      await joined(safetensorsParts([floatTensor("x", [3, 4])])),
    );
    const source = await openFileSource(path);
    const entry = (await readSafetensorsHeader(source)).entries.get("x");
    if (entry === undefined) return expect.fail("no tensor");
    const bytes = await joined(readTensor(source, entry));
    expect([...new Float32Array(bytes.buffer)]).toEqual([3, 4]);
    await source.close();
  });

  test("says that a file has shrunk", async () => {
    const path = fileOf("shrinks", new Uint8Array(100));
    const source = await openFileSource(path);
    truncateSync(path, 60);
    expect(await source.read(0, 60)).toHaveLength(60);
    await expectRefusal(source.read(50, 20), path, "shrunk");
    await expectRefusal(source.read(80, 20), path, "shrunk");
    await source.close();
  });

  test.each([
    [90, 11],
    [-1, 1],
    [0, -1],
    [Number.NaN, 1],
    [0, 2 ** 53],
  ])("refuses bytes outside the file: at %d, %d bytes", async (offset, length) => {
    const path = fileOf("short", new Uint8Array(100));
    const source = await openFileSource(path);
    await expectRefusal(source.read(offset, length), path);
    await source.close();
  });

  test("refuses what does not exist, folders, and reads of a closed file", async () => {
    const absent = join(folder, "absent");
    await expectRefusal(openFileSource(absent), absent, "ENOENT");
    await expectRefusal(openFileSource(folder), folder);
    const path = fileOf("closed", new Uint8Array(10));
    const source = await openFileSource(path);
    await source.close();
    await expectRefusal(source.read(0, 10), path);
  });
});

async function expectRefusal(promise: Promise<unknown>, ...parts: string[]): Promise<void> {
  const error = await errorOf(promise);
  expect(error).toMatchObject({ code: "file_invalid" });
  for (const part of parts) expect(error.message).toContain(part);
}
