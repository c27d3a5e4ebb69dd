/** Demonstrations and conversations as samples of which exactly the model's own tokens are trained. */
import {
  type ChatInput,
  type ChatMessage,
  type ChatTemplate,
  type EncodeOptions,
  ForgeError,
  type Tokenizer,
} from "../../../engine/index.ts";
import type { Demonstration } from "../../agent/environment.ts";
import type { SftSample } from "./sft.ts";

/**
 * A prompt and the response to it, trained on the response and on the id that ends it. Both are encoded by themselves, as
 * when the response is sampled; `addSpecialTokens` is the prompt's.
 *
 * Errors    `argument_invalid` where nothing of the response can be trained; those of `Tokenizer.encode`.
 */
export function sampleOfDemonstration(
  tokenizer: Pick<Tokenizer, "encode"> & Partial<Pick<Tokenizer, "eosId">>,
  { prompt, response }: Demonstration,
  stopId: number | undefined = tokenizer.eosId,
  options: EncodeOptions = {},
): SftSample {
  const head = tokenizer.encode(prompt, options);
  const said = tokenizer.encode(response, { addSpecialTokens: false });
  return demonstrated(head, stopId === undefined ? said : [...said, stopId], { prompt, response });
}

/**
 * A prompt and the response to it as ids.
 *
 * Errors    `argument_invalid` where nothing of the response can be trained.
 *
 * @param what is demonstrated, for the error
 */
export function demonstrated(
  head: readonly number[],
  said: readonly number[],
  what: unknown,
): SftSample {
  const sample = sampleOf(head, said);
  if (sample.trained.length > 0) return sample;
  throw new ForgeError({
    code: "argument_invalid",
    what: "a demonstration has no token to train on.",
    got: JSON.stringify(what),
    why: "nothing predicts the first token of a sequence",
    fix: "give a longer prompt or response, or an id that ends responses",
  });
}

/**
 * A sample for each answer of the assistant, trained on that answer alone: on what it said and on the token that ends it,
 * not on what the template writes around it.
 *
 * An answer follows the prompt that the template renders for it, as when it is sampled. What was said before stays as it was
 * encoded; a template that writes it otherwise later (former thoughts left out) makes the next sample begin anew. Where it
 * does not, each sample is the beginning of the next one, and a forest computes the conversation once.
 *
 * `variables` are the template's, such as `tools` and `enable_thinking`.
 *
 * Errors    `template_invalid` for an answer that the template does not put behind the prompt that it renders for it: its
 *           tokens cannot be told from others then; for what the template refuses; `argument_invalid` for an answer to nothing.
 */
export function samplesOfConversation(
  tokenizer: Tokenizer,
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  variables: Omit<ChatInput, "messages" | "addGenerationPrompt"> = {},
): SftSample[] {
  const samples: SftSample[] = [];
  let ids: readonly number[] = [];
  let text = "";
  for (const [i, message] of messages.entries()) {
    if (message.role !== "assistant") continue;
    if (i === 0) throw unprompted();
    const before = { ...variables, messages: messages.slice(0, i) };
    const prompt = template.render({ ...before, addGenerationPrompt: true });
    const whole = template.render({ ...variables, messages: messages.slice(0, i + 1) });
    if (!whole.startsWith(prompt)) throw rewritten(i, prompt, whole);
    const known = prompt.startsWith(text) ? { ids, text } : { ids: [], text: "" };
    const head = [...known.ids, ...encode(tokenizer, prompt.slice(known.text.length))];
    const answer = answerIn(tokenizer, whole.slice(prompt.length));
    samples.push(sampleOf(head, answer.ids));
    ids = [...head, ...answer.ids];
    text = prompt + answer.text;
  }
  return samples;
}

function sampleOf(head: readonly number[], said: readonly number[]): SftSample {
  const ids = Uint32Array.from([...head, ...said]);
  const from = Math.max(1, head.length);
  return { ids, trained: from < ids.length ? [[from, ids.length]] : [] };
}

function encode(tokenizer: Tokenizer, text: string): number[] {
  return tokenizer.encode(text, { addSpecialTokens: false });
}

/** An answer to the special token that ends it: what a template writes behind that, a newline say, is nobody's. */
function answerIn(
  tokenizer: Tokenizer,
  rendered: string,
): { readonly ids: readonly number[]; readonly text: string } {
  const ids = encode(tokenizer, rendered);
  const last = ids.findLastIndex((id) => tokenizer.isSpecial(id));
  const end = last < 0 ? undefined : tokenizer.tokenOf(ids[last] as number);
  const at = end === undefined ? -1 : rendered.lastIndexOf(end);
  if (at < 0) return { ids, text: rendered };
  return { ids: ids.slice(0, last + 1), text: rendered.slice(0, at + (end as string).length) };
}

function unprompted(): ForgeError {
  return new ForgeError({
    code: "argument_invalid",
    what: "the first message of a conversation is the assistant's.",
    why: "there is no prompt that it could be told from",
    fix: "put what it answers before it, or a system message",
  });
}

function rewritten(i: number, prompt: string, whole: string): ForgeError {
  let at = 0;
  while (at < prompt.length && prompt[at] === whole[at]) at++;
  const around = (text: string): string =>
    JSON.stringify(text.slice(Math.max(0, at - 20), at + 40));
  return new ForgeError({
    code: "template_invalid",
    what: `messages[${i}]: the chat template does not put the answer behind the prompt for it.`,
    got: `${around(whole)} where the prompt has ${around(prompt)}`,
    why: "which tokens are the assistant's cannot be told then",
    fix: "use a template that renders the answer as it is sampled, or give its samples by hand",
  });
}
