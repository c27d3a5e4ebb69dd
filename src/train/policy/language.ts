/** How agents and a policy understand each other. */
import type { ChatTemplate, Tokenizer } from "../../../engine/index.ts";
import type { PolicyLanguage } from "../../agent/policy.ts";

/** What of a policy is asked. */
export interface LanguageParts {
  readonly tokenizer: Tokenizer;
  readonly template?: ChatTemplate | undefined;
  /** Default: the tokenizer's end of a text. */
  readonly stopIds?: readonly number[] | undefined;
}

/** @param length tokens of a sequence at most: prompt and answer */
export function languageOf(
  { tokenizer, template, stopIds }: LanguageParts,
  length: number,
): PolicyLanguage {
  const { eosId } = tokenizer;
  const ends = stopIds ?? (eosId === undefined ? [] : [eosId]);
  return { tokenizer, template, stopIds: ends, length };
}
