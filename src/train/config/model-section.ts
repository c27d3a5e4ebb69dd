/** Section `model`: what is trained. */
import { z } from "zod";
import { FAMILIES, type FamilyName } from "../../../engine/index.ts";
import {
  choice,
  derived,
  flag,
  key,
  nullable,
  oneOf,
  positive,
  section,
  taking,
  text,
  whole,
} from "./fields.ts";
import type { CreateConfig, LoraSection, ModelSection, TokenizerConfig } from "./types.ts";

const KINDS = ["bytes", "characters", "directory"] as const satisfies TokenizerConfig["kind"][];

function kind<K extends TokenizerConfig["kind"]>(word: K): z.ZodLiteral<K> {
  return taking(oneOf(KINDS), z.literal(word)).meta({
    words: KINDS,
    description: "The 256 bytes, the characters of an alphabet, or a tokenizer of others.",
  });
}

const chat = key(
  flag(),
  false,
  "Whether it has tokens and a template for chats and calls of tools.",
);

const tokenizer: z.ZodType<TokenizerConfig> = z.discriminatedUnion("kind", [
  z.strictObject({ kind: kind("bytes"), chat }),
  z.strictObject({
    kind: kind("characters"),
    alphabet: text("text").describe("Characters that are tokens, each once."),
    chat,
  }),
  z.strictObject({
    kind: kind("directory"),
    directory: text("path").describe(
      "Directory with a tokenizer.json, from the folder of the configuration.",
    ),
  }),
]);

const create: z.ZodType<CreateConfig> = z
  .strictObject({
    family: key(
      choice(Object.keys(FAMILIES) as FamilyName[]),
      "llama",
      "Family, as `model_type` of a config.json.",
    ),
    layers: whole(1).describe("Layers."),
    width: whole(1).describe("Width of the residual stream."),
    heads: whole(1).describe("Heads of queries; they divide the width."),
    kvHeads: derived(whole(1), "heads", "Heads of keys and values; they divide `heads`."),
    mlpWidth: derived(whole(1), "4 · width", "Width inside the MLP."),
    maxLength: key(whole(1), 512, "Tokens of the longest sequence."),
    vocab: nullable(whole(1), "Tokens that there are; null: those of the tokenizer."),
    seed: nullable(whole(0), "Seed of the weights; null: that of the run."),
    tokenizer: key(
      taking(
        "{ kind: bytes }, { kind: characters, alphabet } or { kind: directory, directory }",
        tokenizer,
      ),
      { kind: "bytes" } satisfies TokenizerConfig,
      "How text becomes tokens.",
    ),
  })
  .transform((read) => ({
    ...read,
    kvHeads: read.kvHeads ?? read.heads,
    mlpWidth: read.mlpWidth ?? 4 * read.width,
  }));

const lora: z.ZodType<LoraSection> = z.strictObject({
  rank: key(whole(1), 8, "Rows of A, and columns of B."),
  alpha: key(positive(), 8, "B · A is multiplied by alpha / rank."),
  targets: nullable(
    taking("list of names", z.array(z.string().min(1)).min(1)),
    "Modules with an adapter, whole names or their ends; null: PEFT's of the family (q_proj and v_proj).",
  ),
});

export const modelSection: z.ZodType<ModelSection> = section(
  "What is trained. It has one of `directory` and `create`.",
  {
    directory: nullable(
      text("path or name"),
      "Directory in the Hugging Face layout, from the folder of the configuration; or org/name of a pulled model.",
    ),
    create: nullable(
      taking("section with layers, width and heads", create),
      "A model from random weights; null: none.",
    ),
    lora: nullable(
      taking("section", lora),
      "Adapters that are trained in the place of the weights; null: all weights are trained.",
    ),
    weightDtype: key(
      choice(["f32", "f16", "bf16"]),
      "f32",
      "What weight matrices are held in; optimizers train f32 only, so others need `lora`.",
    ),
  },
);
