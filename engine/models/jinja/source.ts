/**
 * The text of a template: where its tags are, and the newlines around them.
 *
 * The parser knows no positions, and trims newlines by looking for "%}\n" anywhere. Here tags are found first, so that
 * errors have lines and only tags are trimmed.
 */

/** A tag as it was written, and the line where it begins, counted from 1. */
export interface Tag {
  readonly text: string;
  readonly line: number;
}

/** A template whose blocks are trimmed, and its tags in their order. */
export interface TemplateSource {
  readonly text: string;
  readonly tags: readonly Tag[];
}

/** Trouble with a template, with the line where it is known. */
export class TemplateError extends Error {
  override readonly name = "TemplateError";
  readonly line: number | undefined;

  constructor(message: string, line?: number) {
    super(message);
    this.line = line;
  }
}

/** Longer ones are no chat templates; the parser takes time that grows with the square of a run of white space. */
const MAX_LENGTH = 1 << 20;
const LONG_SPACE = /\s{1024}/;

const OPENING = /\{[{%#]/g;

/** Tags of transformers that mark what an assistant wrote, and print nothing. */
const GENERATION = /^\{%[-+]?\s*(end)?generation\s*[-+]?%\}$/;

/**
 * A template with the effect of Jinja's trim_blocks and lstrip_blocks written out: the newline behind a block or a
 * comment is gone, and so is the white space before one that begins its line.
 *
 * Errors    {@link TemplateError} for a tag without end, and for a text that no chat template is.
 */
export function trimBlocks(source: string): TemplateSource {
  if (source.length > MAX_LENGTH || LONG_SPACE.test(source)) {
    throw new TemplateError("the text is too long, or has a thousand spaces in a row");
  }
  // As Jinja does: one kind of newline, and none at the end.
  const text = source.replace(/\r\n?/g, "\n").replace(/\n$/, "");
  const tags: Tag[] = [];
  let trimmed = "";
  let line = 1;
  let at = 0;
  /** What the tag before leaves of the text behind it. */
  let rest = (between: string): string => between;
  let lineStarts = true;
  while (at < text.length) {
    OPENING.lastIndex = at;
    const begin = OPENING.exec(text)?.index ?? text.length;
    let between = rest(text.slice(at, begin));
    line += newlines(text, at, begin);
    const end = begin < text.length ? endOfTag(text, begin, line) : begin;
    const tag = text.slice(begin, end);
    const isBlock = tag[1] === "%" || tag[1] === "#";
    if (isBlock && tag[2] !== "+") between = stripLine(between, lineStarts);
    const marker = GENERATION.test(tag);
    if (marker && tag[2] === "-") between = between.trimEnd();
    trimmed += between;
    if (!marker && tag !== "") {
      const plain = isBlock ? tag.replace(/^(..)\+/, "$1").replace(/\+(..)$/, "$1") : tag;
      tags.push({ text: plain, line });
      trimmed += plain;
    }
    const drops = isBlock && tag.at(-3) !== "+" && text[end] === "\n";
    rest = restAfter(marker && tag.at(-3) === "-", drops);
    lineStarts = drops;
    line += newlines(text, begin, end);
    at = end;
  }
  // The parser drops one newline at the end.
  return { text: `${trimmed}\n`, tags };
}

function restAfter(strips: boolean, drops: boolean): (between: string) => string {
  if (strips) return (between) => between.trimStart();
  return drops ? (between) => between.slice(1) : (between) => between;
}

/** Text without its last line, if that is white space at the beginning of a line. */
function stripLine(text: string, lineStarts: boolean): string {
  const begin = text.lastIndexOf("\n") + 1;
  return (begin > 0 || lineStarts) && text.slice(begin).trim() === "" ? text.slice(0, begin) : text;
}

/** One past a tag: its closing mark outside of strings and braces. */
function endOfTag(text: string, begin: number, line: number): number {
  const kind = text[begin + 1] as string;
  if (kind === "#") {
    const end = text.indexOf("#}", begin + 2);
    if (end >= 0) return end + 2;
  } else {
    const close = kind === "{" ? "}}" : "%}";
    let depth = 0;
    for (let at = begin + 2; at < text.length; at++) {
      const unit = text[at] as string;
      if (depth === 0 && text.startsWith(close, at)) return at + 2;
      if (unit === "{") depth++;
      else if (unit === "}") depth--;
      else if (unit === "'" || unit === '"') at = endOfString(text, at);
    }
  }
  throw new TemplateError(`the tag {${kind} has no end`, line);
}

function endOfString(text: string, begin: number): number {
  let at = begin + 1;
  while (at < text.length && text[at] !== text[begin]) at += text[at] === "\\" ? 2 : 1;
  return at;
}

function newlines(text: string, begin: number, end: number): number {
  let count = 0;
  for (let at = begin; at < end; at++) if (text[at] === "\n") count++;
  return count;
}
