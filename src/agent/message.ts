/** Messages of a chat, and the calls of tools in them. */

/** A message. */
export type Message = SystemMessage | UserMessage | AssistantMessage | ToolMessage;

/** What the agent is told before all else. */
export interface SystemMessage {
  readonly role: "system";
  readonly content: string;
}

/** What it is asked. */
export interface UserMessage {
  readonly role: "user";
  readonly content: string;
}

/** What the policy said. */
export interface AssistantMessage {
  readonly role: "assistant";
  /** Without its calls, and without its thoughts. */
  readonly content: string;
  /** What it thought before it spoke. */
  readonly reasoning?: string;
  readonly toolCalls?: readonly ToolCall[];
}

/** What a tool answered. */
export interface ToolMessage {
  readonly role: "tool";
  readonly content: string;
  readonly toolCallId: string;
  readonly name: string;
}

/** A call of a tool, as the policy wrote it. */
export interface ToolCall {
  /** Of its own in its episode. */
  readonly id: string;
  readonly name: string;
  /** JSON; what the tool is to make of it is checked when it runs. */
  readonly input: unknown;
}

/** A tool, as a model is told of it. */
export interface ToolDefinition {
  readonly name: string;
  readonly description?: string;
  /** JSON Schema of its input, an object. */
  readonly parameters: Readonly<Record<string, unknown>>;
}

/** How a call of a tool went. All but `ok` are told to the agent as an error. */
export type ToolCallStatus =
  | "ok"
  /** The tool threw. */
  | "error"
  /** It took longer than it may. */
  | "timeout"
  /** Its input does not fit its schema. */
  | "invalid_input"
  /** There is no tool of this name. */
  | "unknown_tool"
  /** What the policy wrote is no call at all. */
  | "malformed";

/** A call of a tool, and what came of it. */
export interface ToolCallRecord {
  /** The request in whose answer it was written. */
  readonly requestIndex: number;
  readonly role: string;
  /** "" for a malformed one. */
  readonly name: string;
  readonly input: unknown;
  readonly status: ToolCallStatus;
  /** What the agent was told. */
  readonly content: string;
  /** Whether that was cut at its limit. */
  readonly isCut: boolean;
  /** Milliseconds of wall time. */
  readonly ms: number;
}
