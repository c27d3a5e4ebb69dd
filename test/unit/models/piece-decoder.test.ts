import { describe, expect, it } from "vitest";
import { type DecoderJson, PieceDecoder } from "../../../engine/models/piece-decoder.ts";
import { codeOf } from "../../support/errors.ts";

/** What each piece completes, and what the end does. */
function stream(decoder: DecoderJson | null, pieces: readonly string[]): string[] {
  const decode = new PieceDecoder(decoder);
  return [...pieces.map((piece) => decode.push(piece)), decode.flush()];
}

const sequence = (...decoders: DecoderJson[]): DecoderJson => ({ type: "Sequence", decoders });
const spaces = { type: "Replace", pattern: { String: "▁" }, content: " " };
const fuse = { type: "Fuse" };
const strip = (start: number, stop: number): DecoderJson => ({
  type: "Strip",
  content: " ",
  start,
  stop,
});

describe("PieceDecoder", () => {
  it.each([
    ["no decoder", null, ["a", "b", "c"], ["a", " b", " c", ""]],
    [
      "bytes of one character",
      { type: "ByteLevel" },
      ["ð", "Ł", "Ķ", "Ģ", "!"],
      ["", "", "", "🔀", "!", ""],
    ],
    ["bytes across pieces", { type: "ByteLevel" }, ["aÃ", "©b", "Ġ"], ["a", "éb", " ", ""]],
    ["bytes that never end", { type: "ByteLevel" }, ["a", "ðŁ"], ["a", "", "\ufffd"]],
    ["bytes that do not fit", { type: "ByteLevel" }, ["Ã", "Ã", "©"], ["", "\ufffd", "é", ""]],
    [
      "what spells no bytes",
      { type: "ByteLevel" },
      ["Ã", "a b", "©"],
      ["", "\ufffda b", "\ufffd", ""],
    ],
    ["a byte order mark", { type: "ByteLevel" }, ["ï»¿", "a"], ["\ufeff", "a", ""]],
    [
      "bytes as pieces",
      sequence({ type: "ByteFallback" }, fuse),
      ["<0xe2>", "<0x82>", "<0xAC>", "x"],
      ["", "", "€", "x", ""],
    ],
    [
      "bytes as pieces, cut",
      sequence({ type: "ByteFallback" }),
      ["<0xE2>", "<0x82>", "x", "<0xE2>"],
      ["", "", "\ufffdx", "", "\ufffd"],
    ],
    [
      "what looks like a byte",
      sequence({ type: "ByteFallback" }),
      ["<0xGG>", "<0x1>", "<0x041>"],
      ["<0xGG>", "<0x1>", "<0x041>", ""],
    ],
    [
      "the first space stripped",
      sequence(spaces, fuse, strip(1, 0)),
      ["▁", "▁a", "▁b"],
      ["", " a", " b", ""],
    ],
    [
      "two spaces stripped",
      sequence(spaces, fuse, strip(2, 0)),
      ["▁", "▁", "▁a"],
      ["", "", " a", ""],
    ],
    ["none to strip", sequence(spaces, fuse, strip(1, 0)), ["a", "▁b"], ["a", " b", ""]],
    [
      "the last space stripped",
      sequence(spaces, fuse, strip(0, 1)),
      ["a▁", "▁", "b▁"],
      ["a", " ", " b", ""],
    ],
    [
      "spaces stripped of pieces",
      sequence(spaces, strip(1, 1)),
      ["▁a▁", "▁▁▁", "b"],
      ["a", " ", "b", ""],
    ],
    [
      "visible spaces",
      { type: "Metaspace", replacement: "▁" },
      ["▁a", "▁b", "c▁d"],
      ["a", " b", "c d", ""],
    ],
    [
      "visible spaces, none first",
      { type: "Metaspace", replacement: "▁", prepend_scheme: "never" },
      ["▁a", "▁b"],
      [" a", " b", ""],
    ],
    ["characters of the whole replaced", sequence(fuse, spaces), ["▁a", "b▁"], [" a", "b ", ""]],
    [
      "a dollar as it stands",
      { type: "Replace", pattern: { String: "x" }, content: "$&" },
      ["axb"],
      ["a$&b", ""],
    ],
  ] as [string, DecoderJson | null, string[], string[]][])(
    "streams %s",
    (_, decoder, pieces, texts) => {
      expect(stream(decoder, pieces)).toEqual(texts);
    },
  );

  it("lets added pieces stand for themselves", () => {
    const decode = new PieceDecoder({ type: "ByteLevel" });
    expect([decode.push("Ã"), decode.push("é", true), decode.push("©"), decode.flush()]).toEqual([
      "",
      "\ufffdé",
      "\ufffd",
      "",
    ]);
  });

  it.each([
    ["an unknown decoder", { type: "Reverse" }],
    ["one that needs the whole text", sequence(fuse, { type: "ByteFallback" })],
    [
      "a text replaced across pieces",
      sequence(fuse, { type: "Replace", pattern: { String: "ab" }, content: "c" }),
    ],
    ["a regular expression", { type: "Replace", pattern: { Regex: "a" }, content: "b" }],
    ["a replacement by nothing known", { type: "Replace", pattern: { String: "a" } }],
    ["a sequence of nothing", { type: "Sequence" }],
  ] as [string, DecoderJson][])("refuses %s", (_, decoder) => {
    expect(codeOf(() => new PieceDecoder(decoder))).toBe("tokenizer_invalid");
  });
});
