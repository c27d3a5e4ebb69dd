/** Messages and tools in the shape that chat templates of Hugging Face read. */
import type { Message, ToolDefinition } from "../message.ts";

/** A message as templates read it. Fields that a message has not are not there: templates ask whether they are. */
export interface TemplateMessage {
  readonly role: Message["role"];
  readonly content: string;
  /** What an assistant thought. */
  readonly reasoning_content?: string;
  readonly tool_calls?: readonly TemplateToolCall[];
  /** Of a tool's answer. */
  readonly name?: string;
  readonly tool_call_id?: string;
  readonly [field: string]: unknown;
}

/** A call of a tool as templates read it; `arguments` is the input itself, not its JSON. */
export interface TemplateToolCall {
  readonly id: string;
  readonly type: "function";
  readonly function: { readonly name: string; readonly arguments: unknown };
}

/** A tool as templates read it. */
export interface TemplateTool {
  readonly type: "function";
  readonly function: ToolDefinition;
}

/** Messages for `ChatTemplate.render`. */
export function toTemplateMessages(messages: readonly Message[]): TemplateMessage[] {
  return messages.map(toTemplateMessage);
}

/** Tools for `ChatTemplate.render`. */
export function toTemplateTools(tools: readonly ToolDefinition[]): TemplateTool[] {
  return tools.map(({ name, description, parameters }) => ({
    type: "function",
    function: { name, ...(description !== undefined && { description }), parameters },
  }));
}

function toTemplateMessage(message: Message): TemplateMessage {
  const { role, content } = message;
  switch (message.role) {
    case "assistant": {
      const { reasoning, toolCalls = [] } = message;
      const tool_calls = toolCalls.map(({ id, name, input }) => ({
        ...{ id, type: "function" as const, function: { name, arguments: input } },
      }));
      return {
        ...{ role, content },
        ...(reasoning !== undefined && { reasoning_content: reasoning }),
        ...(tool_calls.length > 0 && { tool_calls }),
      };
    }
    case "tool":
      return { role, content, name: message.name, tool_call_id: message.toolCallId };
    default:
      return { role, content };
  }
}
