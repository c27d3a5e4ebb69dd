/** What `forge-gpu logprobs` does: opens a model, scores what it is given, and prints a table or a document. */
import { ForgeError, type Tokenizer } from "../../engine/index.ts";
import { Scorer, type SequenceScore } from "../rollout/scorer.ts";
import { printJson } from "./json.ts";
import { LateProgress } from "./late-progress.ts";
import type { ModelFlags } from "./model.ts";
import { circumstances, openModel } from "./opened-model.ts";
import { encodeText, readText } from "./prompt.ts";
import { type ScoredText, scoreTable, tokenTexts, totalsOf, totalsText } from "./score-table.ts";

/** What the command line says. */
export interface LogprobsFlags extends ModelFlags {
  readonly text?: string;
  readonly ids?: readonly number[];
  readonly file?: string;
  readonly bos: boolean;
  readonly top: number;
  readonly temperature: number;
  readonly batchTokens: number;
  readonly json?: true;
}

/** What is to be scored: as a text, or as ids. */
type Given = { readonly text: string } | { readonly ids: readonly number[] };

/** Runs the command. */
export async function logprobs(name: string, flags: LogprobsFlags): Promise<void> {
  const given = await givenBy(flags);
  await using opened = await openModel(name, flags);
  const { device, directory } = opened;
  const { model, tokenizer } = directory;
  const sequences = given.map((each) =>
    "ids" in each ? each.ids : encodeText(each.text, tokenizer, flags),
  );
  using scorer = new Scorer({ device, model, maxTokens: flags.batchTokens });
  const { temperature, top: alternatives } = flags;
  const begun = performance.now();
  const progress = new LateProgress("scoring", "tokens");
  const scores = await scorer
    .score(
      sequences.map((ids) => ({ ids })),
      { temperature, alternatives, onProgress: (done, total) => progress.update(done, total) },
    )
    .finally(() => progress.end());
  const totalMs = performance.now() - begun;
  const scored = sequences.map((ids, i): ScoredText => {
    return { ids, texts: tokenTexts(ids, tokenizer), score: scores[i] as SequenceScore };
  });
  if (flags.json) {
    printJson({
      ...circumstances(opened),
      settings: { temperature, top: alternatives },
      sequences: scored.map((each) => documentOf(each, tokenizer)),
      total: totalsOf(scores),
      timing: { loadMs: opened.loadMs, totalMs },
    });
  } else print(scored, tokenizer);
}

/** Errors: `file_invalid`, naming the line. */
async function givenBy({ text, ids, file }: LogprobsFlags): Promise<Given[]> {
  if (text !== undefined) return [{ text }];
  if (ids) return [{ ids }];
  const path = file as string;
  const lines = (await readText(path)).split(/\r?\n/);
  const isJson = lines
    .find((line) => line.trim() !== "")
    ?.trim()
    .startsWith("{");
  const given = lines.flatMap((line, index) => {
    if (line.trim() === "") return [];
    return [
      isJson ? parsed(line, `${path === "-" ? "stdin" : path}:${index + 1}`) : { text: line },
    ];
  });
  if (given.length > 0) return given;
  throw new ForgeError({
    code: "file_invalid",
    what: `${path}: it has no line to score.`,
    fix: "give a text or a JSON object on each line",
  });
}

function parsed(line: string, place: string): Given {
  const value = objectOf(line);
  const { text, ids } = value ?? {};
  if (typeof text === "string" && ids === undefined) return { text };
  const isIds = Array.isArray(ids) && ids.every((id) => Number.isSafeInteger(id) && id >= 0);
  if (isIds && text === undefined) return { ids };
  throw new ForgeError({
    code: "file_invalid",
    what: `${place}: this line is nothing to score.`,
    got: line.slice(0, 120),
    why: 'a line is {"text": "…"} or {"ids": [1, 2, …]}',
    fix: "correct the line",
  });
}

function objectOf(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}

/** Lists as long as `ids`: nothing predicts the first token. */
function documentOf({ ids, texts, score }: ScoredText, tokenizer: Tokenizer | undefined): object {
  return {
    ids,
    ...(tokenizer && { tokens: texts }),
    logprobs: [null, ...score.logprobs],
    entropies: [null, ...score.entropies],
    ...(score.alternatives.length > 0 && { top: [null, ...score.alternatives] }),
    ...totalsOf([score]),
  };
}

function print(scored: readonly ScoredText[], tokenizer: Tokenizer | undefined): void {
  const tables = scored.map((each, index) => {
    const heading = scored.length > 1 ? `── ${index + 1} of ${scored.length} ──\n` : "";
    return `${heading}${scoreTable(each, tokenizer)}\n${totalsText(totalsOf([each.score]))}\n`;
  });
  process.stdout.write(tables.join("\n"));
  if (scored.length === 1) return;
  process.stdout.write(`\nall: ${totalsText(totalsOf(scored.map((each) => each.score)))}\n`);
}
