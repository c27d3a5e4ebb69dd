/** Model files as a browser has them: bytes, and files that a person chose. */
import { describe, expect, test } from "vitest";
import {
  type ByteSource,
  bf16ToF32,
  blobSource,
  bytesSource,
  f32ToBf16,
  openCheckpoint,
  readSafetensorsHeader,
  readTensor,
  safetensorsParts,
} from "../../../engine/index.ts";
import { rejectionOf } from "../../support/errors.ts";
import { floatTensor, joined } from "../../support/safetensors.ts";

const VALUES = [1.5, -2, 0.25, 3];
const half = new Uint8Array(f32ToBf16(Float32Array.from(VALUES)).buffer);
const file = await joined(
  safetensorsParts(
    [floatTensor("a", VALUES), { name: "b", dtype: "BF16", shape: [2, 2], bytes: () => half }],
    { format: "pt" },
  ),
);

describe.each<[string, (name: string, bytes: Uint8Array) => ByteSource]>([
  ["bytes", bytesSource],
  ["a Blob", (name, bytes) => blobSource(name, new Blob([Uint8Array.from(bytes)]))],
  ["a File", (name, bytes) => blobSource(name, new File([Uint8Array.from(bytes)], name))],
])("a checkpoint in %s", (_, sourceOf) => {
  test("is read", async () => {
    const name = "model.safetensors";
    const source = sourceOf(name, file);
    const { tensors, shards } = await openCheckpoint({
      open: async (asked) => (asked === name ? source : undefined),
    });
    expect(shards[0]?.header.metadata).toEqual({ format: "pt" });
    const read = async (tensor: string): Promise<Uint8Array> => {
      const found = tensors.get(tensor);
      if (found === undefined) return expect.fail(`no ${tensor}`);
      return joined(readTensor(found.source, found.entry, { chunkBytes: 8 }));
    };
    expect([...new Float32Array((await read("a")).buffer)]).toEqual(VALUES);
    expect([...bf16ToF32(await read("b"))]).toEqual(VALUES);
  });

  test("is refused when it is cut off, at whatever byte", async () => {
    for (let end = 0; end < file.length; end++) {
      const source = sourceOf("cut.safetensors", file.slice(0, end));
      expect(await rejectionOf(readSafetensorsHeader(source)), `${end}`).toBe("file_invalid");
    }
  });

  test("gives no bytes from outside", async () => {
    const source = sourceOf("x", file);
    for (const [offset, length] of [
      [-1, 2],
      [file.length, 1],
      [0, file.length + 1],
      [0, -1],
      [Number.NaN, 1],
    ] as const) {
      expect(await rejectionOf(source.read(offset, length))).toBe("file_invalid");
    }
    expect(await source.read(file.length, 0)).toHaveLength(0);
  });
});

test("a file that can no longer be read is refused by its name", async () => {
  const gone = new Blob([Uint8Array.from(file)]);
  gone.slice = () => ({ arrayBuffer: () => Promise.reject(new Error("NotReadable")) }) as Blob;
  await expect(readSafetensorsHeader(blobSource("gone.safetensors", gone))).rejects.toThrow(
    "gone.safetensors",
  );
});
