/** Which way of writing calls a model was taught. */
import type { PolicyLanguage, PolicyTemplate } from "../policy.ts";
import type { ToolCallFormat } from "./format.ts";
import { HERMES } from "./hermes.ts";
import { LLAMA3 } from "./llama3.ts";
import { PLAIN, PLAIN_TOKENS } from "./plain.ts";
import { toTemplateMessages } from "./template-messages.ts";

/** A chat whose last message is a call. Its id is of the form that Mistral's templates ask for. */
const PROBE = toTemplateMessages([
  { role: "user", content: "question" },
  {
    role: "assistant",
    content: "",
    toolCalls: [{ id: "a1b2c3d4e", name: "probe", input: { x: 1 } }],
  },
]);

/** How the call of {@link PROBE} looks. */
const LOOKS: readonly (readonly [ToolCallFormat, RegExp])[] = [
  [HERMES, /<tool_call>\s*\{\s*"name":\s*"probe",\s*"arguments":/],
  [PLAIN, /<call>probe /],
  [LLAMA3, /\{\s*"name":\s*"probe",\s*"parameters":/],
];

/**
 * The way in which a policy writes calls of tools: that of its chat template, which a chat with a call is put through. Where
 * the template does not tell, the special tokens do; else it is "hermes", which most models know.
 */
export function toolCallFormat({ template, tokenizer }: PolicyLanguage): ToolCallFormat {
  const text = template ? renderedProbe(template) : "";
  const seen = LOOKS.find(([, look]) => look.test(text));
  if (seen) return seen[0];
  const special = new Set(tokenizer.specialIds.map((id) => tokenizer.tokenOf(id)));
  if (PLAIN_TOKENS.every((token) => special.has(token))) return PLAIN;
  return special.has("<|python_tag|>") ? LLAMA3 : HERMES;
}

/** Whether a template says the calls of an assistant's message, in whichever way. One that does not would hide them. */
export function writesCalls(template: PolicyTemplate): boolean {
  return renderedProbe(template).includes("probe");
}

/** "" where the template refuses calls. Tools are left out: their list would look like calls. */
function renderedProbe(template: PolicyTemplate): string {
  try {
    return template.render({ messages: PROBE });
  } catch {
    return "";
  }
}
