/** Chats with tools, as tests of the formats of calls render them. */
import { ChatTemplate } from "../../engine/models/chat-template.ts";
import { toTemplateMessages, toTemplateTools } from "../../src/agent/format/template-messages.ts";
import type { AssistantMessage, Message, ToolDefinition } from "../../src/agent/message.ts";

/** What a template writes where an assistant's message is the answer to a question, less the token that ends it. */
export function renderedAnswer(
  template: ChatTemplate,
  message: AssistantMessage,
  { tools = [], end }: { readonly tools?: readonly ToolDefinition[]; readonly end: string },
): string {
  const asked: Message[] = [{ role: "user", content: "question" }];
  const render = (messages: readonly Message[], addGenerationPrompt: boolean): string =>
    template.render({
      ...{ messages: toTemplateMessages(messages), addGenerationPrompt },
      ...(tools.length > 0 && { tools: toTemplateTools(tools) }),
    });
  const whole = render([...asked, message], false);
  return whole.slice(render(asked, true).length, whole.lastIndexOf(end));
}

/** An assistant's message with calls. */
export function callingMessage(
  calls: readonly { readonly name: string; readonly input: unknown }[],
  content = "",
  reasoning?: string,
): AssistantMessage {
  return {
    ...{ role: "assistant", content },
    ...(reasoning !== undefined && { reasoning }),
    toolCalls: calls.map((call, i) => ({ id: `call_${i}`, ...call })),
  };
}

/** A template that writes chats and calls as those of Llama 3.1 do, one call a message. */
export const LLAMA_TEMPLATE: ChatTemplate = ChatTemplate.from({
  config: { bos_token: "<|begin_of_text|>" },
  template: `{{ bos_token }}
{%- for message in messages %}
  {%- set role = "ipython" if message.role == "tool" else message.role %}
  {{- "<|start_header_id|>" + role + "<|end_header_id|>\\n\\n" }}
  {%- if "tool_calls" in message %}
    {%- if message.tool_calls | length != 1 %}{{- raise_exception("one call at once") }}{%- endif %}
    {%- set call = message.tool_calls[0].function %}
    {{- '{"name": "' + call.name + '", "parameters": ' + call.arguments | tojson + "}" }}
  {%- else %}
    {{- message.content | trim }}
  {%- endif %}
  {{- "<|eot_id|>" }}
{%- endfor %}
{%- if add_generation_prompt %}{{- "<|start_header_id|>assistant<|end_header_id|>\\n\\n" }}{%- endif %}`,
}) as ChatTemplate;
