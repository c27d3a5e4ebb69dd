/** How models write calls of tools into what they say. */
import type { MalformedCall } from "../chat/chat.ts";
import type { ToolDefinition } from "../message.ts";

/** A way of writing calls of tools. */
export interface ToolCallFormat {
  readonly name: "hermes" | "llama3" | "plain";
  /**
   * Takes a reply apart. Never throws, whatever the text, and takes time in proportion to it.
   *
   * @param text the whole reply with its special tokens, but for the one that ended it
   * @param tools those that the policy was told of; a call of another is a call too, if one that will fail
   */
  parse(text: string, tools: readonly ToolDefinition[]): ParsedReply;
}

/** A reply, taken apart. */
export interface ParsedReply {
  /** What is neither thought nor call. */
  readonly content: string;
  readonly reasoning?: string;
  /** In the order in which they were written. */
  readonly calls: readonly ParsedCall[];
  /** What looks like a call and is none. */
  readonly malformed: readonly MalformedCall[];
}

/** A call of a tool, as it was written. */
export interface ParsedCall {
  readonly name: string;
  /** JSON; whether it fits the tool is seen when the tool runs. */
  readonly input: unknown;
}
