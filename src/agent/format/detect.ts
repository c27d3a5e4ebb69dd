/** Which way of writing calls a model was taught. */
import type { PolicyLanguage } from "../policy.ts";
import type { ToolCallFormat } from "./format.ts";
import { PLAIN } from "./plain.ts";

export type { ParsedCall, ParsedReply, ToolCallFormat } from "./format.ts";

/** The way in which a policy writes calls of tools. */
export function toolCallFormat(_language: PolicyLanguage): ToolCallFormat {
  return PLAIN;
}
