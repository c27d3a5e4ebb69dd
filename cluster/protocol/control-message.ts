/** Control messages as text: the checksum of what follows, then JSON of a schema, neither more nor less. */
import type { z } from "zod";
import { ClusterError } from "../error.ts";
import { CHECKSUM, checksumOf } from "./checksum.ts";

/** Turns messages into text, and text that others have sent into messages. */
export interface ControlCodec<M> {
  /** Errors    `message_invalid` unless the message is of the schema and within the limit. */
  encode(message: M): string;
  /** Errors    `message_invalid` as above, and for a text that has changed on its way. */
  decode(text: string): M;
}

/** A codec of a schema, whose objects should be strict, and of a limit in bytes. */
export function controlCodec<M>(schema: z.ZodType<M>, maxBytes: number): ControlCodec<M> {
  const check = (value: unknown, verb: string): M => {
    const result = schema.safeParse(value);
    if (result.success) return result.data;
    const [issue] = result.error.issues;
    throw invalid(
      `a control message that was ${verb} is not of the protocol.`,
      `${issue?.code} at ${issue?.path.join(".") || "the message itself"}`,
    );
  };
  const checkLength = (text: string, verb: string): string => {
    const bytes = Buffer.byteLength(text);
    if (bytes <= maxBytes) return text;
    throw invalid(
      `a control message that was ${verb} is too long.`,
      `${bytes} > ${maxBytes} bytes`,
    );
  };
  return {
    encode: (message) => {
      const text = JSON.stringify(check(message, "to be sent"));
      return checkLength(checksumOf(text) + text, "to be sent");
    },
    decode: (text) => check(parsed(unsealed(checkLength(text, "received"))), "received"),
  };
}

/** Errors: `message_invalid`. A digit that has changed would be a record that nobody has voted for. */
function unsealed(text: string): string {
  const rest = text.slice(CHECKSUM);
  if (text.slice(0, CHECKSUM) === checksumOf(rest)) return rest;
  throw invalid(
    "a control message that was received is not as it was sent.",
    `${text.length} characters of another checksum`,
  );
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // the error of the parser would repeat the text
    throw invalid("a control message that was received is not JSON.", `${text.length} characters`);
  }
}

function invalid(what: string, got: string): ClusterError {
  return new ClusterError({
    code: "message_invalid",
    what,
    got: got.slice(0, 200),
    fix: "start all nodes from the same version of forge-gpu",
  });
}
