/** Makes the folder tokenizer/: pieces of words as they are frequent in questions and their SQL, so that both are short. `npm run format` lays it out. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { PLAIN_TEMPLATE, PLAIN_TOKENS, trainBpe } from "forge-gpu";
import { trainingQuestion } from "./questions.ts";
import { TABLES } from "./shop.ts";

const [PAD, EOS] = ["<pad>", "<eos>"];
const VOCABULARY = 512;
const QUESTIONS = 2_000;

/** Contents of the folder, by the names of files. */
export function tokenizerFiles(): Readonly<Record<string, string>> {
  const questions = Array.from({ length: QUESTIONS }, (_, index) => trainingQuestion(index));
  const texts = questions.flatMap(({ text, sql }) => [text, `query ${sql}`, "describe orders"]);
  const tokenizer = trainBpe([...texts, TABLES], {
    vocabSize: VOCABULARY,
    specialTokens: [PAD, EOS, ...PLAIN_TOKENS],
  });
  const config = {
    tokenizer_class: "PreTrainedTokenizerFast",
    ...{ pad_token: PAD, eos_token: EOS, clean_up_tokenization_spaces: false },
  };
  return {
    "tokenizer.json": `${JSON.stringify(tokenizer, undefined, 2)}\n`,
    "tokenizer_config.json": `${JSON.stringify(config, undefined, 2)}\n`,
    "chat_template.jinja": PLAIN_TEMPLATE,
  };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const folder = join(import.meta.dirname, "tokenizer");
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of Object.entries(tokenizerFiles()))
    writeFileSync(join(folder, name), text);
}
