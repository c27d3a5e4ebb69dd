/** The ids that a request of an agent stands for. */
import { ForgeError } from "../../../engine/error.ts";
import type { PolicyLanguage, PolicyRequest } from "../../agent/policy.ts";

/** The last request that was answered: what `append` continues. */
export interface AnsweredRequest {
  readonly requestIndex: number;
  /** Of prompt and answer. */
  readonly ids: readonly number[];
}

/**
 * Prompt and parent of a request.
 *
 * Errors    `argument_invalid` for both or neither of `prompt` and `append`; `state_conflict` for an `append` to nothing;
 *           those of `Tokenizer.encode`.
 */
export function promptOf(
  { prompt, append, parent }: PolicyRequest,
  { tokenizer }: PolicyLanguage,
  last: AnsweredRequest | undefined,
): { readonly prompt: readonly number[]; readonly parent: number | null } {
  if ((prompt === undefined) === (append === undefined)) {
    throw new ForgeError({
      code: "argument_invalid",
      what: "policy: a request has both or neither of prompt and append.",
      fix: "give one of them",
    });
  }
  if (prompt !== undefined) {
    const ids = typeof prompt === "string" ? tokenizer.encode(prompt) : Array.from(prompt);
    return { prompt: ids, parent: parent ?? null };
  }
  if (!last) {
    throw new ForgeError({
      code: "state_conflict",
      what: "policy: there is nothing to append to.",
      why: "no request of this episode has been answered",
      fix: "give the first request a prompt",
    });
  }
  const more =
    typeof append === "string"
      ? tokenizer.encode(append, { addSpecialTokens: false })
      : Array.from(append ?? []);
  return { prompt: [...last.ids, ...more], parent: parent ?? last.requestIndex };
}
