/** Which way of writing calls a model was taught. */
import type { PolicyLanguage, PolicyTemplate } from "../policy.ts";
import type { ToolCallFormat } from "./format.ts";
import { HERMES } from "./hermes.ts";
import { LLAMA3 } from "./llama3.ts";
import { PLAIN, PLAIN_TOKENS } from "./plain.ts";
import { toTemplateMessages, toTemplateTools } from "./template-messages.ts";

const TOOL = { name: "probe", parameters: { type: "object", properties: {} } } as const;

/** A chat whose last message is a call. The id is of the form that Mistral's templates ask for. */
const PROBE = [
  { role: "user", content: "question" },
  {
    ...{ role: "assistant", content: "" },
    toolCalls: [{ id: "a1b2c3d4e", name: TOOL.name, input: { x: 1 } }],
  },
] as const;

/**
 * The way in which a policy writes calls of tools: that of its chat template, which a chat with a call is put through. Where
 * the template does not tell, the special tokens do; else it is "hermes", which most models know.
 */
export function toolCallFormat({ template, tokenizer }: PolicyLanguage): ToolCallFormat {
  const written = template ? writtenCall(template) : "";
  const formats = [HERMES, PLAIN, LLAMA3];
  const read = formats.find((format) => {
    const { calls, malformed } = format.parse(written, [TOOL]);
    return malformed.length === 0 && calls.length === 1 && calls[0]?.name === TOOL.name;
  });
  if (read) return read;
  const special = new Set(tokenizer.specialIds.map((id) => tokenizer.tokenOf(id)));
  if (PLAIN_TOKENS.every((token) => special.has(token))) return PLAIN;
  return special.has("<|python_tag|>") ? LLAMA3 : HERMES;
}
