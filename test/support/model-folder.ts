/** A model of random weights as a directory: all that the command line's tests need of one. */
import { byteTokenizer, type CausalLM, createModel } from "../../engine/index.ts";
import { saveModelDirectory } from "../../src/models/directory.ts";
import { device } from "./gpu.ts";

/** Special tokens of the model, at 256 and 257. */
export const [START, END] = ["<|im_start|>", "<|im_end|>"] as const;

const TEMPLATE = [
  `{% for m in messages %}{{ '${START}' + m.role + '\\n' + m.content + '${END}\\n' }}{% endfor %}`,
  `{% if add_generation_prompt %}{{ '${START}assistant\\n' }}{% endif %}`,
].join("");

/** Saves one of bytes and two special tokens, with a chat template, and answers of 12 tokens by its generation_config.json. */
export async function saveTinyModel(path: string): Promise<CausalLM> {
  await device();
  const sizes = { layers: 2, width: 32, heads: 4, kvHeads: 2, mlpWidth: 48, maxDepth: 16_384 };
  const model = createModel({ vocab: 258, ...sizes, initStd: 0.3, seed: 12 });
  await saveModelDirectory(model, path, {
    files: {
      "tokenizer.json": byteTokenizer({ specialTokens: [START, END] }),
      "tokenizer_config.json": { eos_token: END },
      "chat_template.jinja": TEMPLATE,
      "generation_config.json": { do_sample: true, temperature: 0.8, max_new_tokens: 12 },
    },
  });
  return model;
}
