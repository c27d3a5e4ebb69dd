/** The error of a file that cannot be used: it names the file and, where there is one, the tensor. */
import { ForgeError } from "../error.ts";

/** What is wrong with a file. */
export interface FileFault {
  /** The claim that does not hold, as the end of "<file>: tensor <name>: …". */
  readonly what: string;
  /** The tensor it is about. */
  readonly tensor?: string | undefined;
  readonly got?: string;
  readonly why?: string;
  readonly fix?: string;
  readonly cause?: unknown;
}

/** A `file_invalid` error about `file`. */
export function fileInvalid(file: string, { tensor, what, ...rest }: FileFault): ForgeError {
  const subject = tensor === undefined ? "" : `tensor ${quote(tensor)}: `;
  return new ForgeError({ code: "file_invalid", what: `${file}: ${subject}${what}`, ...rest });
}

/** Text out of a file as a message may show it: escaped, and at most 80 characters. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 79)}…` : text);
}
