/** Conversations out of what the policy read and wrote. */
import type { Part, Transcript } from "./progress.ts";

/** The special tokens of the plain chat format. */
const TOKENS = /<(system|user|assistant|tool|call|eos|pad)>/;

/** An episode whose every request goes on behind the one before: the last one has all of it. */
export function transcriptOf(
  turns: readonly { readonly prompt: string; readonly response: string }[],
  isSuccess: boolean,
): Transcript {
  const last = turns.at(-1);
  return { parts: last ? partsOf(last.prompt + last.response) : [], isSuccess };
}

/** Text between special tokens. Those that only begin or end something are left out. */
function partsOf(text: string): Part[] {
  const pieces = text.split(TOKENS);
  const parts = pieces.flatMap((piece, i): Part[] =>
    i % 2 === 1 ? [{ token: piece, text: pieces[i + 1] ?? "" }] : [],
  );
  return parts.filter(({ text, token }) => text !== "" || token === "call");
}
