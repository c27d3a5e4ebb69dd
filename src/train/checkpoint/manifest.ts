/** manifest.json: what a checkpoint must consist of, so that nothing else is taken for one. */
import { createHash } from "node:crypto";
import { z } from "zod";
import { STATE_FILE } from "./contents.ts";
import { checkpointInvalid, reasonOf } from "./invalid.ts";

/** The file that is written last. */
export const MANIFEST_FILE = "manifest.json";
/** The format that is written, and the only one that is read. */
const FORMAT = 1;

/** A file in a checkpoint. */
export interface FileRecord {
  readonly bytes: number;
  /** Of the whole file, as 64 hexadecimal digits. */
  readonly sha256: string;
}

/** What the manifest of a checkpoint says. */
export interface Manifest {
  readonly step: number;
  readonly writtenWith: Readonly<Record<string, string>>;
  readonly files: Readonly<Record<string, FileRecord>>;
}

/** Names that a file of a checkpoint may have: they cannot lead out of it, whatever the file system makes of them. */
export const FILE_NAME: RegExp = /^[a-z0-9][a-z0-9-]{0,63}\.(safetensors|json)$/;

const count = z.int().nonnegative();
const digest = z.string().regex(/^[0-9a-f]{64}$/);
const schema = z.strictObject({
  format: z.literal(FORMAT),
  step: count,
  writtenWith: z.record(z.string(), z.string()),
  files: z.record(z.string(), z.strictObject({ bytes: count, sha256: digest })),
  sha256: digest,
});

/** The text of a manifest. Its last field is the digest of the others. */
export function manifestText({ step, writtenWith, files }: Manifest): string {
  const body = { format: FORMAT, step, writtenWith, files };
  return `${JSON.stringify({ ...body, sha256: digestOf(body) }, null, 2)}\n`;
}

/**
 * Reads the manifest of the checkpoint at `path`.
 *
 * Errors    `checkpoint_invalid` for a text that is not exactly what {@link manifestText} gives, another format, and names of
 *           files that no checkpoint has.
 */
export function parseManifest(path: string, text: string): Manifest {
  const json = parsed(path, text);
  const format = (json as { format?: unknown } | null)?.format;
  if (format !== undefined && format !== FORMAT) {
    throw checkpointInvalid(path, {
      file: MANIFEST_FILE,
      what: "is of a format that this version does not read",
      got: `format ${JSON.stringify(format)}`,
      why: `it reads format ${FORMAT}`,
      fix: "resume with the version of forge-gpu that wrote it",
    });
  }
  const read = schema.safeParse(json);
  if (!read.success) {
    const [issue] = read.error.issues;
    throw damaged(path, `${issue?.path.join(".")}: ${issue?.message}`);
  }
  const { sha256, ...body } = read.data;
  const bad = Object.keys(body.files).find((name) => !FILE_NAME.test(name));
  if (bad !== undefined) throw damaged(path, `a file called ${JSON.stringify(bad.slice(0, 80))}`);
  if (!Object.hasOwn(body.files, STATE_FILE))
    throw damaged(path, `no ${STATE_FILE} among its files`);
  if (text !== manifestText(body)) throw damaged(path, `another SHA-256 than ${sha256}`);
  return body;
}

function parsed(path: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw damaged(path, reasonOf(cause), cause);
  }
}

function damaged(path: string, got: string, cause?: unknown): Error {
  return checkpointInvalid(path, {
    file: MANIFEST_FILE,
    what: "is not what was written",
    got,
    ...(cause !== undefined && { cause }),
  });
}

function digestOf(body: object): string {
  return createHash("sha256").update(JSON.stringify(body)).digest("hex");
}
