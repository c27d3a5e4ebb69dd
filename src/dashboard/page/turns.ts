/** How the turns of a rollout hang together. */
import type { RolloutTurn } from "../api.ts";

/** What a prompt says that was not said before. */
export interface NewPrompt {
  readonly text: string;
  /** Characters before it that an earlier turn has. */
  readonly known: number;
  /** Whether the turn should go on from an earlier one and does not begin with it. */
  readonly isFork: boolean;
}

/** The new part of a turn's prompt: what follows the prompt and the answer of the turn that it goes on from. */
export function newPrompt(turns: readonly RolloutTurn[], k: number): NewPrompt {
  const { prompt = "" } = turns[k] ?? {};
  const before = previousOf(turns, k);
  if (!before) return { text: prompt, known: 0, isFork: false };
  const said = (before.prompt ?? "") + (before.response ?? "");
  if (prompt.startsWith(said))
    return { text: prompt.slice(said.length), known: said.length, isFork: false };
  // templates may leave the token that ended the answer out, or write it again
  if (prompt.startsWith(before.prompt ?? "")) {
    const known = commonLength(prompt, said);
    return { text: prompt.slice(known), known, isFork: false };
  }
  return { text: prompt, known: 0, isFork: true };
}

/** The turn that one goes on from: its parent, or where records do not say, the last that it begins with, or of its role. */
function previousOf(turns: readonly RolloutTurn[], k: number): RolloutTurn | undefined {
  const { parent, role, prompt = "" } = turns[k] ?? {};
  const earlier = turns.slice(0, k);
  if (typeof parent === "number") return earlier.find(({ request }) => request === parent);
  return (
    earlier.findLast((turn) => prompt.startsWith((turn.prompt ?? "") + (turn.response ?? ""))) ??
    earlier.findLast((turn) => turn.role === role)
  );
}

function commonLength(a: string, b: string): number {
  const end = Math.min(a.length, b.length);
  for (let i = 0; i < end; i++) if (a.charCodeAt(i) !== b.charCodeAt(i)) return i;
  return end;
}
