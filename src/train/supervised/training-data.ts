/** Training data in files: JSON Lines, of which each line is checked before anything is trained. */
import { createReadStream } from "node:fs";
import { basename } from "node:path";
import { createInterface } from "node:readline";
import { type ChatMessage, ForgeError } from "../../../engine/index.ts";
import type { OpenedPolicy } from "../policy/create-policy.ts";
import { checkSamples } from "./check-samples.ts";
import { type PreferencePair, pairBatches, samplesOfPairs } from "./dpo-pairs.ts";
import type { SftSample } from "./sft.ts";
import { sampleOfDemonstration, samplesOfConversation } from "./sft-samples.ts";

/** What rows are made for. */
export interface DataOptions {
  readonly policy: Pick<OpenedPolicy, "model" | "tokenizer" | "template" | "stopIds">;
  /** Tokens of a batch at most: no sample, and no pair, may have more. */
  readonly tokenBudget: number;
}

/** A line of a file, as an object. */
type Line = Readonly<Record<string, unknown>>;

/**
 * Demonstrations, the samples of each line: of `{ prompt, response }` one, of `{ messages }`, and `tools` if there are any,
 * one for each answer of the assistant. Other keys are left alone.
 *
 * Errors    `file_invalid`, with the number of the line, for one that is neither or cannot be trained on; for a file that
 *           cannot be read or is empty.
 */
export function readDemonstrations(path: string, options: DataOptions): Promise<SftSample[][]> {
  const { policy, tokenBudget } = options;
  return readLines(path, (line) => {
    const samples = samplesOf(line, policy);
    checkSamples("sft", policy.model, samples, (s) => `sample ${s}`);
    for (const { ids } of samples) if (ids.length > tokenBudget) throw over(ids, tokenBudget);
    if (samples.length === 0) throw new Error("no message is the assistant's");
    return samples;
  });
}

/**
 * Preferences: `{ prompt, chosen, rejected }`, all of them text.
 *
 * Errors    as {@link readDemonstrations}.
 */
export function readPreferences(path: string, options: DataOptions): Promise<PreferencePair[]> {
  const { policy, tokenBudget } = options;
  const { tokenizer, stopIds, model } = policy;
  const answer = (text: string): number[] => [
    ...tokenizer.encode(text, { addSpecialTokens: false }),
    ...stopIds.slice(0, 1),
  ];
  return readLines(path, (line) => {
    const prompt = tokenizer.encode(textOf(line, "prompt"));
    const chosen = answer(textOf(line, "chosen"));
    const pair = { prompt, chosen, rejected: answer(textOf(line, "rejected")) };
    const samples = samplesOfPairs([pair]);
    checkSamples("dpo", model, samples, (s) => (s === 0 ? "chosen" : "rejected"));
    pairBatches(samples, tokenBudget);
    return pair;
  });
}

function samplesOf(
  line: Line,
  { tokenizer, template, stopIds }: DataOptions["policy"],
): SftSample[] {
  const { messages, tools } = line;
  if (messages === undefined) {
    const demonstration = { prompt: textOf(line, "prompt"), response: textOf(line, "response") };
    return [sampleOfDemonstration(tokenizer, demonstration, stopIds[0])];
  }
  if (!isList(messages, isMessage)) throw new Error('"messages" is no list of { role, content }');
  if (!template) throw new Error("there are messages, and the model has no chat template");
  if (tools === undefined || tools === null)
    return samplesOfConversation(tokenizer, template, messages);
  if (!isList(tools, isObject)) throw new Error('"tools" is no list of objects');
  return samplesOfConversation(tokenizer, template, messages, { tools });
}

/** What `read` makes of each line that is not blank. */
async function readLines<Row>(path: string, read: (line: Line) => Row): Promise<Row[]> {
  const rows: Row[] = [];
  let number = 0;
  try {
    for await (const text of createInterface({
      input: createReadStream(path),
      crlfDelay: Infinity,
    })) {
      number++;
      if (text.trim() !== "") rows.push(read(objectOf(text)));
    }
  } catch (error) {
    const isSystem = (error as NodeJS.ErrnoException).syscall !== undefined;
    throw invalid(isSystem ? path : `${basename(path)}, line ${number},`, error);
  }
  if (rows.length === 0) throw invalid(path, new Error("there is no line in it"));
  return rows;
}

function objectOf(text: string): Line {
  const value: unknown = JSON.parse(text);
  if (isObject(value)) return value as Line;
  throw new Error("the line is no JSON object");
}

function textOf(line: Line, key: string): string {
  const value = line[key];
  if (typeof value === "string") return value;
  const got = value === undefined ? `the keys are ${Object.keys(line).join(", ")}` : typeof value;
  throw new Error(`"${key}" is no text: ${got}`);
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isMessage(value: unknown): value is ChatMessage {
  return isObject(value) && typeof (value as Partial<ChatMessage>).role === "string";
}

function isList<T>(value: unknown, isItem: (item: unknown) => item is T): value is T[] {
  return Array.isArray(value) && value.every(isItem);
}

function over(ids: Uint32Array, tokenBudget: number): Error {
  return new Error(`${ids.length} tokens, with a budget (train.tokenBudget) of ${tokenBudget}`);
}

function invalid(place: string, cause: unknown): ForgeError {
  return new ForgeError({
    code: "file_invalid",
    what: `${place} cannot be trained on.`,
    got: cause instanceof Error ? cause.message : String(cause),
    fix: "correct it, or leave it out",
    cause,
  });
}

/** Rows to train on and, from the end of a file, rows that are kept from it. Errors: `config_invalid`. */
export function heldOutTail<Row>(
  rows: readonly Row[],
  heldOut: number,
): { readonly trained: readonly Row[]; readonly heldOut: readonly Row[] } {
  const at = rows.length - heldOut;
  if (at > 0) return { trained: rows.slice(0, at), heldOut: rows.slice(at) };
  throw new ForgeError({
    code: "config_invalid",
    what: "train.heldOut leaves nothing to train on.",
    got: `${heldOut} of ${rows.length} rows`,
    fix: "keep fewer back",
  });
}

/** Rows without an end, or as often as they are asked for: what a run trains on. */
export interface Rows<Row> {
  /** Infinity for a stream. */
  readonly count: number;
  at(index: number): Row | Promise<Row>;
}

/** Rows of a list. */
export function listed<Row>(rows: readonly Row[]): Rows<Row> {
  return { count: rows.length, at: (index) => rows[index] as Row };
}
