/** Tasks in files: JSON Lines and CSV. */
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { CsvError, parse } from "csv-parse/sync";
import { z } from "zod";
import { ForgeError } from "../../engine/error.ts";

/** How a file of tasks is read. */
export interface ReadTasksOptions<Task> {
  /** What each task must fit; what it makes of it is the task. In a CSV all values are text: `z.coerce` helps. */
  readonly schema?: z.core.$ZodType<Task>;
  /** Default: by the file's name, .jsonl, .ndjson or .csv. */
  readonly format?: "jsonl" | "csv";
}

/** A row of a file, and where it begins. */
interface Row {
  readonly line: number;
  readonly value: unknown;
}

/**
 * The tasks of a file, in UTF-8: of JSON Lines any JSON value a line, of a CSV an object a record, with the keys of its first
 * record. Blank lines are none.
 *
 * Errors    `file_invalid`, with the number of the line, for what is no JSON, no CSV, or does not fit the schema; for a file
 *           that cannot be read or has no task; `argument_invalid` for a name that does not say its format.
 */
export function readTasks<Task = unknown>(
  path: string | URL,
  options: ReadTasksOptions<Task> = {},
): Task[] {
  const file = path instanceof URL ? fileURLToPath(path) : path;
  const { schema, format = formatOf(file) } = options;
  const text = textOf(file);
  const rows = format === "csv" ? csvRows(text, file) : jsonRows(text, file);
  if (rows.length === 0) throw invalid(file, "there is no task in it");
  return rows.map(({ line, value }) => {
    if (!schema) return value as Task;
    const read = z.safeParse(schema, value);
    if (read.success) return read.data;
    throw invalid(`${basename(file)}, line ${line},`, z.prettifyError(read.error), read.error);
  });
}

function formatOf(file: string): "jsonl" | "csv" {
  if (/\.(?:jsonl|ndjson)$/i.test(file)) return "jsonl";
  if (/\.csv$/i.test(file)) return "csv";
  throw new ForgeError({
    code: "argument_invalid",
    what: "the name of a file of tasks does not say its format.",
    got: basename(file),
    fix: 'name it .jsonl or .csv, or give format: "jsonl" or "csv"',
  });
}

function textOf(file: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(file));
  } catch (error) {
    const isText = error instanceof TypeError;
    throw invalid(file, isText ? "it is not UTF-8" : (error as Error).message, error);
  }
}

function jsonRows(text: string, file: string): Row[] {
  return text.split(/\r?\n/).flatMap((source, i) => {
    if (source.trim() === "") return [];
    try {
      return [{ line: i + 1, value: JSON.parse(source) as unknown }];
    } catch (error) {
      throw invalid(`${basename(file)}, line ${i + 1},`, (error as Error).message, error);
    }
  });
}

function csvRows(text: string, file: string): Row[] {
  const bytes = Buffer.from(text);
  const [head, ...records] = csvRecords(bytes, file);
  const keys = head?.record ?? [];
  const twice = keys.find((key, i) => keys.indexOf(key) !== i);
  if (twice !== undefined) throw invalid(file, `two columns are called ${JSON.stringify(twice)}`);
  let at = 0;
  let line = 1;
  let end = head?.info.bytes ?? 0;
  return records.map(({ record, info }) => {
    // the parser counts lines its own way where some are blank
    const isBreak = (byte: number | undefined): boolean => byte === 10 || byte === 13;
    for (; at < end || isBreak(bytes[at]); at++) if (bytes[at] === 10) line++;
    end = info.bytes;
    return { line, value: Object.fromEntries(keys.map((key, i) => [key, record[i]])) };
  });
}

/** A record, and where in the file it ends. */
interface CsvRecord {
  readonly record: readonly string[];
  readonly info: { readonly bytes: number };
}

function csvRecords(bytes: Buffer, file: string): readonly CsvRecord[] {
  const options = { info: true, skip_empty_lines: true, record_delimiter: ["\r\n", "\n"] };
  try {
    return parse(bytes, options) as unknown as CsvRecord[];
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    throw invalid(`${basename(file)}, line ${Number(error["lines"])},`, error.message, error);
  }
}

function invalid(place: string, got: string, cause?: unknown): ForgeError {
  return new ForgeError({
    code: "file_invalid",
    what: `${place} cannot be read as tasks.`,
    got,
    fix: "correct it, or leave it out",
    ...(cause !== undefined && { cause }),
  });
}
