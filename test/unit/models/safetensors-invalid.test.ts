import { describe, expect, test } from "vitest";
import { ForgeError } from "../../../engine/error.ts";
import { bytesSource } from "../../../engine/models/byte-source.ts";
import { readSafetensorsHeader } from "../../../engine/models/safetensors.ts";
import { errorOf } from "../../support/errors.ts";
import { fileOf } from "../../support/safetensors.ts";

const DATA = new Uint8Array(8);
const GOOD = { dtype: "F32", shape: [2], data_offsets: [0, 8] };
const HALF = { dtype: "F32", shape: [1], data_offsets: [0, 4] };

async function refusal(file: Uint8Array): Promise<ForgeError> {
  const error = await errorOf(readSafetensorsHeader(bytesSource("weights.safetensors", file)));
  if (!(error instanceof ForgeError)) throw error;
  expect(error.code).toBe("file_invalid");
  expect(error.message).toContain("weights.safetensors");
  expect(error.message.length).toBeLessThan(1000);
  return error;
}

test("the file that the others differ from is good", async () => {
  const source = bytesSource("x", fileOf({ w: GOOD }, DATA));
  expect((await readSafetensorsHeader(source)).entries.size).toBe(1);
});

describe("a file is refused by its name", () => {
  test.each<[string, Uint8Array]>([
    ["of no bytes", new Uint8Array()],
    ["shorter than the length of its header", new Uint8Array(7)],
    ["with an empty header", fileOf("")],
    ["cut off in its header", fileOf({ w: GOOD }).subarray(0, 40)],
    ["whose header is longer than the file", fileOf({ w: GOOD }, DATA, 1000n)],
    ["whose header has 2^53 + 1 bytes", fileOf({ w: GOOD }, DATA, 2n ** 53n + 1n)],
    ["whose header has 2^63 bytes", fileOf({ w: GOOD }, DATA, 2n ** 63n)],
    ["whose header has 2^64 − 1 bytes", fileOf({ w: GOOD }, DATA, 2n ** 64n - 1n)],
    ["whose header is cut off in its data", fileOf({ w: GOOD }, DATA, 30n)],
    ["whose header does not start with {", fileOf(` ${JSON.stringify({ w: GOOD })}`, DATA)],
    ["whose header is a list", fileOf("[]")],
    ["whose header is not UTF-8", fileOf(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d))],
    ["with text behind its header", fileOf(`${JSON.stringify({ w: GOOD })}x`, DATA)],
    ["with a comma behind the last entry", fileOf('{"__metadata__":{},}')],
    ["with bytes behind the last tensor", fileOf({ w: HALF }, DATA)],
    ["with bytes and no tensor", fileOf({}, DATA)],
    ["with a number in its metadata", fileOf({ __metadata__: { step: 1 } })],
    ["with an object in its metadata", fileOf({ __metadata__: { a: { b: "c" } } })],
    ["with a list as metadata", fileOf({ __metadata__: ["pt"] })],
    ["with null as metadata", fileOf({ __metadata__: null })],
    ["with a key of its metadata twice", fileOf('{"__metadata__":{"a":"1","a":"2"}}')],
    ["with its metadata twice", fileOf('{"__metadata__":{},"__metadata__":{}}')],
    ["with a bad escape", fileOf(String.raw`{"\x":{}}`)],
    ["with half a character", fileOf(String.raw`{"\ud800":{}}`)],
    ["with a line break in a name", fileOf('{"a\n":{}}')],
    ["with a name that does not end", fileOf('{"a')],
    ["with a name that ends in a backslash", fileOf('{"a\\')],
  ])("%s", async (_, file) => {
    await refusal(file);
  });
});

describe("a tensor is refused by its name and its file's", () => {
  const only = (entry: unknown): Uint8Array => fileOf({ "the.weight": entry }, DATA);
  const raw = (text: string): Uint8Array => fileOf(`{"the.weight":${text}}`, DATA);
  const beside = (entry: object): Uint8Array => fileOf({ w: HALF, "the.weight": entry }, DATA);

  test.each<[string, Uint8Array]>([
    ["that is null", only(null)],
    ["that is a number", only(3)],
    ["that is text", only("F32")],
    ["that is a list", only([1])],
    ["without a dtype", only({ shape: [2], data_offsets: [0, 8] })],
    ["without a shape", only({ dtype: "F32", data_offsets: [0, 8] })],
    ["without offsets", only({ dtype: "F32", shape: [2] })],
    ["with an unknown field", only({ ...GOOD, strides: [1] })],
    ["with a field twice", raw('{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}')],
    ["of an unknown dtype", only({ ...GOOD, dtype: "F33" })],
    ["of a dtype in small letters", only({ ...GOOD, dtype: "f32" })],
    ["of a dtype named like a method", only({ ...GOOD, dtype: "toString" })],
    ["of a dtype named __proto__", only({ ...GOOD, dtype: "__proto__" })],
    ["of a dtype that is a number", only({ ...GOOD, dtype: 32 })],
    ["of half a byte", only({ dtype: "F4", shape: [1], data_offsets: [0, 1] })],
    ["with a negative size", only({ ...GOOD, shape: [-2] })],
    ["with two negative sizes", only({ ...GOOD, shape: [-1, -2] })],
    ["with minus zero as a size", raw('{"dtype":"F32","shape":[-0],"data_offsets":[0,0]}')],
    ["with a fractional size", only({ ...GOOD, shape: [1.5] })],
    ["with a size written as 2.0", raw('{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}')],
    ["with a size written as 2e0", raw('{"dtype":"F32","shape":[2e0],"data_offsets":[0,8]}')],
    ["with a size written as 02", raw('{"dtype":"F32","shape":[02],"data_offsets":[0,8]}')],
    ["with a size of 2^53", only({ ...GOOD, shape: [2 ** 53] })],
    [
      "with a size of 2^64",
      raw('{"dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,8]}'),
    ],
    ["with a size as text", only({ ...GOOD, shape: ["2"] })],
    ["with a nested shape", only({ ...GOOD, shape: [[2]] })],
    ["with a shape that is a number", only({ ...GOOD, shape: 2 })],
    ["of 65 dimensions", only({ ...GOOD, shape: [2, ...Array(64).fill(1)] })],
    ["of 2^64 + 2 elements", only({ ...GOOD, shape: [2 ** 32, 2 ** 32 + 1] })],
    [
      "of 2^64 elements in 0 bytes",
      only({ dtype: "U8", shape: [2 ** 32, 2 ** 32], data_offsets: [0, 0] }),
    ],
    [
      "of 2^100 × 0 elements",
      only({ dtype: "U8", shape: [2 ** 50, 2 ** 50, 0], data_offsets: [0, 0] }),
    ],
    ["with fewer bytes than its shape", only({ ...GOOD, shape: [3] })],
    ["with more bytes than its shape", only({ ...GOOD, shape: [1] })],
    ["with no offsets", only({ ...GOOD, data_offsets: [] })],
    ["with one offset", only({ ...GOOD, data_offsets: [0] })],
    ["with three offsets", only({ ...GOOD, data_offsets: [0, 8, 8] })],
    ["with a negative offset", only({ ...GOOD, data_offsets: [-8, 0] })],
    ["with a fractional offset", only({ ...GOOD, data_offsets: [0.5, 8.5] })],
    ["that ends before it begins", only({ ...GOOD, data_offsets: [8, 0] })],
    ["beyond the end", only({ ...GOOD, data_offsets: [8, 16] })],
    [
      "that ends at 2^53 − 1",
      only({ dtype: "U8", shape: [1], data_offsets: [2 ** 53 - 2, 2 ** 53 - 1] }),
    ],
    ["over another", beside({ ...HALF, data_offsets: [0, 4] })],
    [
      "over half of another",
      fileOf({ w: HALF, "the.weight": { ...HALF, data_offsets: [2, 6] } }, DATA.subarray(2)),
    ],
    ["behind a hole", only({ ...HALF, data_offsets: [4, 8] })],
    [
      "empty, in the midst of another",
      fileOf({ w: GOOD, "the.weight": { dtype: "U8", shape: [0], data_offsets: [4, 4] } }, DATA),
    ],
    ["in a list of lists", raw(`${"[".repeat(1000)}`)],
    ["in objects in objects", raw('{"shape":'.repeat(1000))],
    [
      "that is listed twice",
      fileOf(
        `{"the.weight":${JSON.stringify(HALF)},"the.weight":${JSON.stringify({ ...HALF, data_offsets: [4, 8] })}}`,
        DATA,
      ),
    ],
    [
      "that is listed again with an escape",
      fileOf(
        `{"the.weight":${JSON.stringify(HALF)},"the\\u002eweight":${JSON.stringify({ ...HALF, data_offsets: [4, 8] })}}`,
        DATA,
      ),
    ],
    ["whose header ends in the midst", fileOf('{"the.weight":{"dtype":"F32"')],
  ])("%s", async (_, file) => {
    expect((await refusal(file)).message).toContain('"the.weight"');
  });
});

describe("a header of many megabytes is refused at its first fault", () => {
  const MEGABYTES = 32 * 2 ** 20;
  const filler = (text: string): string => text.repeat(MEGABYTES / text.length);

  test.each<[string, string]>([
    ["lists in lists", `{"a":${filler("[")}`],
    ["a name that does not end", `{"${filler("a")}`],
    ["backslashes", `{"${filler("\\")}`],
    ["digits", `{"a":{"dtype":"F32","shape":[${filler("1")}`],
    ["a shape that does not end", `{"a":{"dtype":"F32","shape":[${filler("1,")}`],
    ["white space", `{"a":${filler(" ")}`],
    [
      "a dtype of its own length",
      `{"a":{"dtype":"${filler("F")}","shape":[],"data_offsets":[0,4]}}`,
    ],
    ["a name of its own length", `{"${filler("n")}":{}}`],
  ])("%s", async (_, header) => {
    await refusal(fileOf(header));
  });

  test("more than 100 MB are not read at all", async () => {
    const size = 200_000_000;
    const reads: number[] = [];
    const source = {
      name: "weights.safetensors",
      size,
      read: async (_: number, length: number) => {
        reads.push(length);
        return fileOf("", new Uint8Array(), 100_000_001n);
      },
    };
    expect(await errorOf(readSafetensorsHeader(source))).toMatchObject({ code: "file_invalid" });
    expect(reads).toEqual([8]);
  });
});
