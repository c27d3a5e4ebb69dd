import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ForgeError } from "../../../engine/error.ts";
import { Tokenizer } from "../../../engine/models/tokenizer.ts";
import { codeOf } from "../../support/errors.ts";
import { texts, tokenizerFolder } from "../../support/tokenizers.ts";

// biome-ignore lint/suspicious/noExplicitAny: what a file may hold
type Json = any;

const SMALL = ["small-byte-level", "small-prepended", "small-unprepended", "small-unigram"];
const files = new Map(SMALL.map((name) => [name, tokenizerFolder(name).tokenizer()]));
const fileOf = (name: string): string => files.get(name) as string;

/** A small tokenizer with something changed. */
function changed(change: (json: Json) => void, name = "small-byte-level"): object {
  const json = JSON.parse(fileOf(name));
  change(json);
  return json;
}

describe("a tokenizer.json", () => {
  it.each([
    ["cut off", fileOf("small-byte-level").slice(0, 1000)],
    ["that is a list", "[]"],
    ["that is null", "null"],
    ["without model", changed((json) => delete json.model)],
    ["of an unknown model", changed((json) => (json.model.type = "WordLevel"))],
    ["without vocabulary", changed((json) => delete json.model.vocab)],
    ["with an empty vocabulary", changed((json) => (json.model.vocab = {}))],
    ["with an id that is none", changed((json) => (json.model.vocab["a"] = "7"))],
    ["with a negative id", changed((json) => (json.model.vocab["a"] = -1))],
    ["with an id beyond all", changed((json) => (json.model.vocab["a"] = 1e9))],
    ["with one id twice", changed((json) => (json.model.vocab["a"] = 5))],
    ["without merges", changed((json) => delete json.model.merges)],
    ["with half a merge", changed((json) => json.model.merges.push(["a"]))],
    ["with a merge of an unknown piece", changed((json) => json.model.merges.push(["a", "§§"]))],
    [
      "with pieces that continue words",
      changed((json) => (json.model.continuing_subword_prefix = "##")),
    ],
    ["with added tokens that are none", changed((json) => (json.added_tokens = {}))],
    ["with an added token without id", changed((json) => delete json.added_tokens[0].id)],
    ["with an added token without content", changed((json) => (json.added_tokens[0].content = ""))],
    ["with an unknown normalizer", changed((json) => (json.normalizer = { type: "Rot13" }))],
    ["with an unknown pre-tokenizer", changed((json) => (json.pre_tokenizer = { type: "Magic" }))],
    ["with an unknown decoder", changed((json) => (json.decoder = { type: "Magic" }))],
    [
      "with an unknown post-processor",
      changed((json) => (json.post_processor = { type: "Magic" })),
    ],
    ["with a pre-tokenizer that is a text", changed((json) => (json.pre_tokenizer = "ByteLevel"))],
    [
      "with a split at nothing",
      changed((json) => delete json.pre_tokenizer.pretokenizers[0].pattern),
    ],
    [
      "with a broken pattern",
      changed((json) => (json.pre_tokenizer.pretokenizers[0].pattern.Regex = "(a")),
    ],
    [
      "with pieces of length 0",
      changed((json) => (json.pre_tokenizer = { type: "FixedLength", length: 0 })),
    ],
    [
      "with a split that is not supported",
      changed((json) => (json.pre_tokenizer.pretokenizers[0].behavior = "MergedWithNext")),
    ],
    [
      "with a template of tokens it lacks",
      changed((json) => {
        json.post_processor.single = [{ SpecialToken: { id: "<nowhere>", type_id: 0 } }];
        json.model.unk_token = null;
      }, "small-prepended"),
    ],
    [
      "with a score that is none",
      changed((json) => (json.model.vocab[9] = ["x", null]), "small-unigram"),
    ],
    [
      "with an unknown token beyond all",
      changed((json) => (json.model.unk_id = 1e6), "small-unigram"),
    ],
  ])("is refused %s", (_, tokenizer) => {
    expect(codeOf(() => Tokenizer.from({ tokenizer }))).toBe("tokenizer_invalid");
    expect(() => Tokenizer.from({ tokenizer, name: "models/x/tokenizer.json" })).toThrow(
      "models/x/tokenizer.json",
    );
  });

  it("is taken with a split where the normalizer leaves nothing to split", () => {
    expect(() => Tokenizer.from({ tokenizer: fileOf("small-unprepended") })).not.toThrow();
    const tokenizer = changed((json) => (json.normalizer = null), "small-unprepended");
    expect(codeOf(() => Tokenizer.from({ tokenizer }))).toBe("tokenizer_invalid");
  });

  it("is taken in the form of old files", () => {
    const old = changed((json) => {
      delete json.model.type;
      delete json.normalizer;
      delete json.post_processor;
      json.model.merges = json.model.merges.map((merge: string[]) => merge.join(" "));
    });
    const [now, then] = [fileOf("small-byte-level"), old].map((tokenizer) =>
      Tokenizer.from({ tokenizer }),
    );
    for (const text of texts()) expect(then?.encode(text)).toEqual(now?.encode(text));
  });

  it("may have a tokenizer_config.json that is broken", () => {
    const tokenizer = fileOf("small-byte-level");
    expect(() => Tokenizer.from({ tokenizer, config: "{" })).toThrow("tokenizer_config.json");
    expect(codeOf(() => Tokenizer.from({ tokenizer, config: [] }))).toBe("tokenizer_invalid");
  });
});

const junk: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom(null, true, "", "a", [], {}, -1, 0.5, 2 ** 31, 1e300, "__proto__", ["a", "b"]),
  fc.constantFrom("BPE", "Unigram", "WordPiece", "ByteLevel", "Sequence", "Removed", "(", "[^\\s"),
  fc.nat(600),
);

/** Somewhere in a tree of JSON, something else: at the end of a random walk from the root. */
function withJunk(root: Json, [step = 0, ...steps]: readonly number[], value: unknown): void {
  const keys = Object.keys(root);
  const key = keys[step % keys.length];
  if (key === undefined) return;
  const inner = root[key];
  if (steps.length > 0 && typeof inner === "object" && inner !== null)
    withJunk(inner, steps, value);
  else root[key] = structuredClone(value);
}

/** A tokenizer, or a ForgeError; and then ids of natural numbers and their text, or a ForgeError. */
function tryOut(tokenizer: object | string): boolean {
  try {
    const made = Tokenizer.from({ tokenizer });
    for (const text of ["Hello  world", "é👍\n", "<s></s>"]) {
      const ids = made.encode(text);
      expect(ids.every((id) => Number.isInteger(id) && id >= 0 && id < made.vocabSize)).toBe(true);
      expect(typeof made.decode(ids)).toBe("string");
    }
    return true;
  } catch (error) {
    if (error instanceof ForgeError) return false;
    throw error;
  }
}

describe("a damaged tokenizer.json", () => {
  it("works, or says what is wrong: other values", () => {
    const steps = fc.array(fc.nat(), { minLength: 1, maxLength: 6 });
    const outcomes = { true: 0, false: 0 };
    fc.assert(
      fc.property(
        fc.constantFrom(...SMALL),
        fc.array(fc.tuple(steps, junk), { minLength: 1, maxLength: 3 }),
        (name, changes) => {
          const json = JSON.parse(fileOf(name));
          for (const [path, value] of changes) withJunk(json, path, value);
          outcomes[`${tryOut(json)}`]++;
        },
      ),
      { numRuns: 2500 },
    );
    expect(Math.min(outcomes.true, outcomes.false)).toBeGreaterThan(200);
  });

  it("works, or says what is wrong: other characters", () => {
    const at = fc.nat(2 ** 20);
    const change = fc.tuple(
      at,
      fc.nat(3),
      fc.constantFrom("", '"', "{", "]", ",", "0", "-", "x", "\\", "null"),
    );
    fc.assert(
      fc.property(fc.constantFrom(...SMALL), change, (name, [place, length, text]) => {
        const file = fileOf(name);
        // Vocabularies are long and alike: half of the changes are made to the rest.
        const where = place % 2 === 0 ? place % file.length : place % file.indexOf('"vocab"');
        tryOut(file.slice(0, where) + text + file.slice(where + length));
      }),
      { numRuns: 2500 },
    );
  });
});
