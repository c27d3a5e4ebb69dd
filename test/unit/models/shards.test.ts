import { describe, expect, test } from "vitest";
import { type ByteSource, bytesSource } from "../../../engine/models/byte-source.ts";
import { readTensor } from "../../../engine/models/safetensors.ts";
import { safetensorsParts } from "../../../engine/models/safetensors-writer.ts";
import { type CheckpointFiles, openCheckpoint } from "../../../engine/models/shards.ts";
import { errorOf } from "../../support/errors.ts";
import { floatTensor, joined } from "../../support/safetensors.ts";

const SINGLE = "model.safetensors";
const INDEX = "model.safetensors.index.json";

/** A folder in memory: texts as they are, lists of names as files of these tensors. */
async function folder(files: Record<string, string | readonly string[]>): Promise<CheckpointFiles> {
  const sources = new Map<string, ByteSource>();
  for (const [name, content] of Object.entries(files)) {
    const bytes =
      typeof content === "string"
        ? new TextEncoder().encode(content)
        : await joined(
            safetensorsParts(content.map((tensor) => floatTensor(tensor, [tensor.length]))),
          );
    sources.set(name, bytesSource(name, bytes));
  }
  return { open: async (name) => sources.get(name) };
}

const mapped = (map: unknown): string => JSON.stringify({ weight_map: map });

describe("openCheckpoint", () => {
  test("lists the tensors of a single file, which goes before an index", async () => {
    const files = await folder({ [SINGLE]: ["a", "b"], [INDEX]: "broken" });
    const { tensors, shards } = await openCheckpoint(files);
    expect([...tensors.keys()]).toEqual(["a", "b"]);
    expect(shards.map(({ source }) => source.name)).toEqual([SINGLE]);
  });

  test("finds each tensor in its shard, and those that the index does not name", async () => {
    const metadata = { total_size: 16, total_parameters: 4, by: [["x", { y: [null, -1.5e3] }]] };
    const files = await folder({
      [INDEX]: JSON.stringify({ metadata, weight_map: { ccc: "2.st", bb: "1.st", a: "1.st" } }),
      "1.st": ["a", "bb", "extra"],
      "2.st": ["ccc"],
    });
    const { tensors, shards } = await openCheckpoint(files);
    expect(shards.map(({ source }) => source.name)).toEqual(["2.st", "1.st"]);
    expect([...tensors.keys()]).toEqual(["ccc", "a", "bb", "extra"]);
    for (const [name, { source, entry }] of tensors) {
      const bytes = await joined(readTensor(source, entry));
      expect([...new Float32Array(bytes.buffer)], name).toEqual([name.length]);
    }
  });

  test.each<[string, readonly string[], Record<string, string | readonly string[]>]>([
    ["no weights", [INDEX], { "pytorch_model.bin": "" }],
    ["a single file that is none", [SINGLE], { [SINGLE]: "PK" }],
    ["an index that is no JSON", [INDEX], { [INDEX]: "weights" }],
    ["an index that is cut off", [INDEX], { [INDEX]: '{"weight_map":{"a":"1.st"' }],
    ["an index without a weight_map", [INDEX], { [INDEX]: '{"metadata":{}}' }],
    ["a weight_map that is a list", [INDEX], { [INDEX]: mapped(["1.st"]) }],
    ["a file name that is a number", [INDEX], { [INDEX]: mapped({ a: 1 }) }],
    [
      "a tensor in two shards of the index",
      ['"a"'],
      { [INDEX]: '{"weight_map":{"a":"1","a":"2"}}' },
    ],
    ["two weight_maps", ["weight_map"], { [INDEX]: '{"weight_map":{},"weight_map":{}}' }],
    ["a shard that is not there", [INDEX, '"a"', "1.st"], { [INDEX]: mapped({ a: "1.st" }) }],
    [
      "a tensor that is not in its shard",
      [INDEX, '"b"', "1.st"],
      { [INDEX]: mapped({ a: "1.st", b: "1.st" }), "1.st": ["a"] },
    ],
    [
      "a tensor of the name of a method",
      [INDEX, '"constructor"'],
      { [INDEX]: mapped({ constructor: "1.st" }), "1.st": ["a"] },
    ],
    [
      "a tensor in two shards",
      ['"a"', "1.st", "2.st"],
      { [INDEX]: mapped({ a: "1.st", b: "2.st" }), "1.st": ["a"], "2.st": ["b", "a"] },
    ],
    ["a broken shard", ["1.st"], { [INDEX]: mapped({ a: "1.st" }), "1.st": "{}" }],
    ["an index of lists in lists", [INDEX], { [INDEX]: `{"metadata":${"[".repeat(1e6)}` }],
    ["an index of endless digits", [INDEX], { [INDEX]: `{"metadata":${"1".repeat(1e6)}}` }],
    ["an index with text behind it", [INDEX], { [INDEX]: '{"weight_map":{}}}' }],
  ])("refuses %s", async (_, named, files) => {
    const error = await errorOf(openCheckpoint(await folder(files)));
    expect(error).toMatchObject({ code: "file_invalid" });
    for (const name of named) expect(error.message).toContain(name);
  });

  test("refuses bytes that are no UTF-8, and an index of more than 100 MB unread", async () => {
    const only = (index: ByteSource): CheckpointFiles => ({
      open: async (name) => (name === INDEX ? index : undefined),
    });
    const broken = only(bytesSource(INDEX, Uint8Array.of(0x7b, 0xff, 0x7d)));
    expect(await errorOf(openCheckpoint(broken))).toMatchObject({ code: "file_invalid" });
    const read = (): Promise<never> => expect.fail("it was read");
    const huge = only({ name: INDEX, size: 100_000_001, read });
    expect(await errorOf(openCheckpoint(huge))).toMatchObject({ code: "file_invalid" });
  });

  test.each([
    "",
    ".",
    "..",
    "../a.st",
    "/a.st",
    "sub/a.st",
    "sub\\a.st",
    "C:a.st",
    "a.st\0",
    "a\nb",
  ])("opens no file of the name %j", async (name) => {
    const opened: string[] = [];
    const inner = await folder({ [INDEX]: mapped({ "the.weight": name }) });
    const files: CheckpointFiles = {
      open: (asked) => {
        opened.push(asked);
        return inner.open(asked);
      },
    };
    const error = await errorOf(openCheckpoint(files));
    expect(error).toMatchObject({ code: "file_invalid" });
    expect(error.message).toContain('"the.weight"');
    expect(opened).toEqual([SINGLE, INDEX]);
  });
});
