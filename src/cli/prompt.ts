/** What a command line gives a model to read: text or token ids. */
import { readFile } from "node:fs/promises";
import { ForgeError, type Tokenizer } from "../../engine/index.ts";

/** The text of a file; `-` is the standard input. Errors: `file_invalid`. */
export async function readText(path: string): Promise<string> {
  if (path !== "-") {
    return readFile(path, "utf8").catch((cause: Error) => {
      throw new ForgeError({
        code: "file_invalid",
        what: `${path}: it cannot be read.`,
        got: cause.message,
        cause,
      });
    });
  }
  let text = "";
  process.stdin.setEncoding("utf8");
  for await (const part of process.stdin) text += part;
  return text;
}

/**
 * The ids of a text, led by the token that begins one where the tokenizer's files say so and `bos` does not forbid it.
 *
 * Errors    `argument_invalid` without a tokenizer.
 */
export function encodeText(
  text: string,
  tokenizer: Tokenizer | undefined,
  { bos }: { readonly bos: boolean },
): number[] {
  if (tokenizer) return tokenizer.encode(text, { addSpecialTokens: bos });
  throw new ForgeError({
    code: "argument_invalid",
    what: "this model has no tokenizer.json: it knows no text.",
    got: JSON.stringify(text.slice(0, 40)),
    fix: "pass token ids with --ids",
  });
}
