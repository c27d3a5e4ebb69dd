/** What `forge-gpu generate` does: opens a model, samples from it, and prints what comes. */
import { ForgeError } from "../../engine/index.ts";
import type { Generation, GenerationRequest } from "../rollout/request.ts";
import { Sampler } from "../rollout/sampler.ts";
import { interruptible } from "./interrupt.ts";
import { printJson } from "./json.ts";
import type { ModelFlags } from "./model.ts";
import { circumstances, type OpenedModel, openModel } from "./opened-model.ts";
import { encodeText, readText } from "./prompt.ts";
import { maxTokensOf, type SamplingFlags, STREAMED_STEPS, samplingOf } from "./sampling.ts";

/** What the command line says. */
export interface GenerateFlags extends ModelFlags, SamplingFlags {
  readonly prompt?: string;
  readonly ids?: readonly number[];
  readonly bos: boolean;
  readonly echo?: true;
  readonly samples: number;
  readonly stop?: readonly string[];
  readonly stopId?: readonly number[];
  readonly batch: number;
  readonly length?: number;
  readonly json?: true;
}

/** A request whose length is known. */
interface Request extends GenerationRequest {
  readonly prompt: readonly number[];
  readonly maxTokens: number;
}

/** Runs the command. `maxTokens` are sampled at most where neither the command line nor the model says how many. */
export async function generate(
  name: string,
  flags: GenerateFlags,
  maxTokens: number,
): Promise<void> {
  const text = flags.prompt === "-" ? (await readText("-")).replace(/\n$/, "") : flags.prompt;
  await interruptible(async (signal) => {
    await using opened = await openModel(name, flags, signal);
    const { device, directory } = opened;
    const { model, tokenizer } = directory;
    const prompt = promptIds(text ?? "", opened, flags);
    const request: Request = { ...requestOf(prompt, opened, flags, maxTokens), signal };
    // the last token is never read: it needs no place
    const needed = Math.min(model.maxLength, prompt.length + request.maxTokens - 1);
    const sampler = new Sampler({
      ...{ device, model, seed: flags.seed, maxQueue: flags.samples },
      length: flags.length ?? needed,
      batch: Math.min(flags.samples, flags.batch),
      ...(tokenizer && { tokenizer }),
      ...(flags.samples === 1 && !flags.json && { steps: STREAMED_STEPS }),
    });
    try {
      const begun = performance.now();
      const generations = await sample(sampler, request, opened, flags);
      const figures = figuresOf(generations, performance.now() - begun);
      if (flags.json) printDocument(generations, request, figures, opened);
      else process.stderr.write(`${figuresText(figures, generations)}\n`);
    } finally {
      await sampler.close();
    }
  });
}

function promptIds(text: string, { directory }: OpenedModel, flags: GenerateFlags): number[] {
  const { tokenizer, generation } = directory;
  if (flags.ids) return [...flags.ids];
  const ids = text === "" && !tokenizer ? [] : encodeText(text, tokenizer, flags);
  if (ids.length > 0) return ids;
  if (flags.bos && generation.bosId !== undefined) return [generation.bosId];
  throw new ForgeError({
    code: "argument_invalid",
    what: "there is nothing to continue.",
    got: "a prompt of no tokens",
    why: flags.bos ? "this model names no token that begins a text" : "--no-bos leaves nothing",
    fix: "give a --prompt, or --ids",
  });
}

function requestOf(
  prompt: readonly number[],
  { directory }: OpenedModel,
  flags: GenerateFlags,
  maxTokens: number,
): Request {
  const { model, generation } = directory;
  const room = (flags.length ?? model.maxLength) + 1 - prompt.length;
  const { repetitionStop: repetition } = flags;
  return {
    prompt,
    maxTokens: maxTokensOf(flags, generation, maxTokens, room),
    sampling: samplingOf(flags, generation, flags.samples > 1),
    stopIds: [...generation.eosIds, ...(flags.stopId ?? [])],
    stopStrings: flags.stop ?? [],
    ...(repetition && { repetition }),
  };
}

/** Samples, and prints the text: one as it is written, several one behind the other. Without a tokenizer they are ids. */
async function sample(
  sampler: Sampler,
  request: Request,
  { directory: { tokenizer } }: OpenedModel,
  { samples, echo, json: isSilent }: GenerateFlags,
): Promise<Generation[]> {
  const write = (text: string): void => {
    if (!isSilent) process.stdout.write(text);
  };
  const idsText = (ids: readonly number[]): string => ids.map((id) => `${id} `).join("");
  const prompt = tokenizer?.decode(request.prompt, { skipSpecialTokens: true });
  const before = echo ? (prompt ?? idsText(request.prompt)) : "";
  if (samples === 1) {
    write(before);
    let length = 0;
    const onToken = ({ id, text }: { readonly id: number; readonly text: string }): void => {
      length += text.length;
      write(tokenizer ? text : idsText([id]));
    };
    const generation = await sampler.generate({ ...request, onToken });
    write(`${generation.text.slice(length)}\n`);
    return [generation];
  }
  const all = Array.from({ length: samples }, () => sampler.generate(request));
  // one that fails while another is waited for is not forgotten
  void Promise.allSettled(all);
  const done: Generation[] = [];
  for (const [index, each] of all.entries()) {
    const generation = await each;
    const { ids, text, finishReason } = generation;
    const heading = [`${index + 1} of ${samples}`, `${ids.length} tokens`, finishReason];
    write(`── ${heading.join(" · ")} ──\n${before}${tokenizer ? text : idsText(ids)}\n`);
    done.push(generation);
  }
  return done;
}

interface Figures {
  readonly tokens: number;
  /** From the request to the first token of all. */
  readonly firstTokenMs: number;
  readonly totalMs: number;
  readonly tokensPerSecond: number;
}

function figuresOf(generations: readonly Generation[], totalMs: number): Figures {
  const tokens = generations.reduce((sum, { ids }) => sum + ids.length, 0);
  const first = generations.map(({ timing }) => timing.queuedMs + timing.prefillMs);
  return {
    tokens,
    firstTokenMs: Math.min(...first),
    totalMs,
    tokensPerSecond: (1000 * tokens) / totalMs,
  };
}

function figuresText(figures: Figures, generations: readonly Generation[]): string {
  const { tokens, firstTokenMs, totalMs, tokensPerSecond } = figures;
  const [only, ...others] = generations;
  const end = only && others.length === 0 ? [ENDINGS[only.finishReason]] : [];
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`;
  return [
    `${tokens} ${tokens === 1 ? "token" : "tokens"} in ${seconds(totalMs)}`,
    `${tokensPerSecond.toFixed(tokensPerSecond < 10 ? 1 : 0)} tokens/s`,
    `the first after ${seconds(firstTokenMs)}`,
    ...end,
  ].join(" · ");
}

const ENDINGS: Readonly<Record<Generation["finishReason"], string>> = {
  stop: "ended by itself",
  length: "ended at the most tokens",
  stop_string: "ended at a stop string",
  repetition: "ended by repetition",
  cancelled: "interrupted",
};

function printDocument(
  generations: readonly Generation[],
  { prompt, maxTokens, sampling, stopIds, stopStrings }: Request,
  figures: Figures,
  opened: OpenedModel,
): void {
  const samples = generations.map((generation) => ({
    seed: seedOf(generation.seed),
    ids: generation.ids,
    text: generation.text,
    logprobs: generation.logprobs,
    entropies: generation.entropies,
    finishReason: generation.finishReason,
    ...(generation.stop !== undefined && { stop: generation.stop }),
    timing: generation.timing,
  }));
  const document = {
    ...circumstances(opened),
    promptIds: prompt,
    settings: { maxTokens, ...sampling, stopIds, stopStrings },
    samples,
    timing: { loadMs: opened.loadMs, ...figures },
  };
  printJson(document);
}

/** JSON has no integers of 64 bits: a seed beyond 2^53 is written as text. */
function seedOf(seed: bigint): number | string {
  return seed <= Number.MAX_SAFE_INTEGER ? Number(seed) : String(seed);
}
