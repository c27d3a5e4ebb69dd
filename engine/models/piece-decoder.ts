/**
 * From pieces of a vocabulary to text, one piece at a time.
 *
 * The decoders of a tokenizer.json are defined over whole sequences. Here each is a step that takes a piece and gives
 * what is certain now, so a streamed text and a decoded one are the same by construction:
 *
 *   decode(pieces) = push(piece 0) + … + push(piece n−1) + flush()
 */
import { ForgeError } from "../error.ts";
import { bytesOfSymbols } from "./byte-symbols.ts";

/** A decoder as it stands in a tokenizer.json. */
export interface DecoderJson {
  readonly type: string;
  readonly [option: string]: unknown;
}

/** One decoder of a sequence: pieces in, pieces out. */
interface Step {
  /** What is certain once this piece is there. An added piece stands for itself. */
  push(piece: string, added: boolean): readonly string[];
  /** What was held back, at the end. */
  flush?(): string;
}

/** Pieces to text through the steps of one decoder; see the head of this file. */
export class PieceDecoder {
  readonly #steps: readonly Step[];

  /** Errors    `tokenizer_invalid` for a decoder that is unknown or cannot be streamed. */
  constructor(decoder: DecoderJson | null | undefined) {
    this.#steps = decoder ? stepsOf(decoder) : [spaced()];
  }

  /** The text that this piece completes: never half a character. */
  push(piece: string, added = false): string {
    return this.#run([piece], 0, added);
  }

  /** The rest. Bytes that never became a character are U+FFFD. */
  flush(): string {
    return this.#steps
      .map((step, index) => this.#run(some(step.flush?.() ?? ""), index + 1, false))
      .join("");
  }

  #run(pieces: readonly string[], from: number, added: boolean): string {
    const step = this.#steps[from];
    if (!step) return pieces.join("");
    return pieces.map((piece) => this.#run(step.push(piece, added), from + 1, added)).join("");
  }
}

/** No piece for no text: a first or last piece counts only if there is something in it. */
function some(text: string): readonly string[] {
  return text === "" ? [] : [text];
}

function stepsOf(decoder: DecoderJson): Step[] {
  const steps: Step[] = [];
  /** From here on the pieces are one text, cut anywhere. */
  let fused = false;
  const add = (json: DecoderJson): void => {
    if (json.type === "Sequence" && Array.isArray(json["decoders"])) {
      for (const inner of json["decoders"] as DecoderJson[]) add(inner);
    } else {
      steps.push(stepOf(json, fused));
      fused ||= json.type === "Fuse" || json.type === "ByteLevel";
    }
  };
  add(decoder);
  return steps;
}

function stepOf(json: DecoderJson, fused: boolean): Step {
  switch (json.type) {
    case "ByteLevel":
      return byteLevel();
    case "ByteFallback":
      if (!fused) return byteFallback();
      break;
    case "Fuse":
      return { push: (piece) => [piece] };
    case "Metaspace":
      if (!fused) return metaspace(json);
      break;
    case "Replace": {
      const { String: from } = (json["pattern"] ?? {}) as { readonly String?: unknown };
      const to = json["content"];
      if (typeof from !== "string" || typeof to !== "string" || from === "") break;
      if (!fused || [...from].length === 1) {
        return { push: (piece) => [piece.replaceAll(from, () => to)] };
      }
      break;
    }
    case "Strip":
      return fused ? stripText(json) : stripPieces(json);
  }
  throw new ForgeError({
    code: "tokenizer_invalid",
    what: "a decoder of the tokenizer is unknown, or cannot be streamed where it stands.",
    got: JSON.stringify(json).slice(0, 200),
    fix: "known are ByteLevel, ByteFallback, Fuse, Metaspace, Replace of a string, Strip, and Sequence of these",
  });
}

/** No decoder at all: pieces with spaces between. */
function spaced(): Step {
  let before = "";
  return {
    push: (piece) => {
      const text = before + piece;
      before = " ";
      return [text];
    },
  };
}

/** Bytes to characters. An incomplete character waits for its bytes. */
class Utf8 {
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });

  push(bytes: Uint8Array): string {
    return this.#decoder.decode(bytes, { stream: true });
  }

  flush(): string {
    return this.#decoder.decode();
  }
}

/** Symbols of bytes to text. A piece that spells no bytes stands for itself. */
function byteLevel(): Step {
  const utf8 = new Utf8();
  return {
    push: (piece, added) => {
      const bytes = added ? undefined : bytesOfSymbols(piece);
      return [bytes ? utf8.push(bytes) : utf8.flush() + piece];
    },
    flush: () => utf8.flush(),
  };
}

/** Pieces like <0xE2> to characters. */
function byteFallback(): Step {
  const utf8 = new Utf8();
  return {
    push: (piece) => {
      const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(piece)?.[1];
      if (byte === undefined) return [...some(utf8.flush()), piece];
      return some(utf8.push(Uint8Array.of(Number.parseInt(byte, 16))));
    },
    flush: () => utf8.flush(),
  };
}

/** SentencePiece's visible space to a space, and to none in the first piece. */
function metaspace(json: DecoderJson): Step {
  const symbol = String(json["replacement"] ?? "▁");
  let space = json["prepend_scheme"] === "never" ? " " : "";
  return {
    push: (piece) => {
      const text = piece.replaceAll(symbol, space);
      space = " ";
      return [text];
    },
  };
}

interface Strip {
  readonly content: string;
  readonly start: number;
  readonly stop: number;
}

function stripOf(json: DecoderJson): Strip {
  const { content = " ", start = 0, stop = 0 } = json as Partial<Strip>;
  return { content, start, stop };
}

/** Takes up to `start` and `stop` copies of a character off the ends of each piece. */
function stripPieces(json: DecoderJson): Step {
  const { content, start, stop } = stripOf(json);
  return {
    push: (piece) => {
      const text = piece.slice(leading(piece, content, start));
      return [text.slice(0, text.length - trailing(text, content, stop))];
    },
  };
}

/** The same at the ends of the text. */
function stripText(json: DecoderJson): Step {
  const { content, start, stop } = stripOf(json);
  let left = start;
  let held = "";
  return {
    push: (piece) => {
      const cut = leading(piece, content, left);
      left = cut < piece.length ? 0 : left - cut;
      const text = held + piece.slice(cut);
      const kept = text.length - trailing(text, content, stop);
      held = text.slice(kept);
      return some(text.slice(0, kept));
    },
  };
}

function leading(text: string, content: string, most: number): number {
  let count = 0;
  while (count < most && text[count] === content) count++;
  return count;
}

function trailing(text: string, content: string, most: number): number {
  let count = 0;
  while (count < most && text[text.length - 1 - count] === content) count++;
  return count;
}
