/** The format of models made from scratch: a token begins each part, and a call costs few tokens. */
import type { MalformedCall } from "../chat/chat.ts";
import type { ToolDefinition } from "../message.ts";
import type { ParsedCall, ParsedReply, ToolCallFormat } from "./format.ts";
import { isObject } from "./json-object.ts";
import { readJson, skipSpace } from "./json-scanner.ts";

/** Special tokens of {@link PLAIN_TEMPLATE}, beside the one that ends an answer. */
export const PLAIN_TOKENS = ["<system>", "<user>", "<assistant>", "<tool>", "<call>"] as const;

/**
 * Chat template (Jinja) of the plain format, as in `<user>7*8=?<assistant><call>calculate 7*8<eos><tool>56<assistant>56<eos>`.
 *
 * The input of a call is compact JSON. Where the tool has one required parameter, or one at all, an input of it alone is
 * written as it is: a number, or a text that is neither empty nor begins like JSON or with white space. Tools are not
 * listed: what they are for is learned.
 */
export const PLAIN_TEMPLATE = `\
{%- macro input(call) -%}
  {%- set ns = namespace(raw=false) -%}
  {%- for tool in tools or [] -%}
    {%- if tool.function.name == call.name and call.arguments is mapping and call.arguments | length == 1 -%}
      {%- set schema = tool.function.parameters -%}
      {%- set names = schema.required or schema.properties | list -%}
      {%- set name = call.arguments | list | first -%}
      {%- if names == [name] -%}
        {%- set type = schema.properties[name].type -%}
        {%- set value = call.arguments[name] -%}
        {%- if type == 'string' and value is string -%}
          {%- set ns.raw = value != '' and value == value | trim and value[0] != '{' -%}
        {%- elif type in ['number', 'integer'] -%}
          {%- set ns.raw = value is number and value is not boolean -%}
        {%- endif -%}
        {%- if ns.raw -%}{{ value if value is string else value | tojson }}{%- endif -%}
      {%- endif -%}
    {%- endif -%}
  {%- endfor -%}
  {%- if not ns.raw -%}
    {{ call.arguments if call.arguments is string else call.arguments | tojson(separators=(',', ':')) }}
  {%- endif -%}
{%- endmacro -%}
{%- for message in messages -%}
  {{- '<' + message.role + '>' + message.content -}}
  {%- for call in message.tool_calls or [] -%}
    {{- '<call>' + call.function.name + ' ' + input(call.function) -}}
  {%- endfor -%}
  {%- if message.role == 'assistant' -%}{{- eos_token -}}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<assistant>' -}}{%- endif -%}
`;

/** `<call>name input`, as {@link PLAIN_TEMPLATE} writes it; several are parallel calls. */
export const PLAIN: ToolCallFormat = { name: "plain", parse };

const CALL = "<call>";

function parse(text: string, tools: readonly ToolDefinition[]): ParsedReply {
  const [content = "", ...written] = text.split(CALL);
  const known = new Map(tools.map((tool) => [tool.name, tool]));
  const calls: ParsedCall[] = [];
  const malformed: MalformedCall[] = [];
  for (const each of written) {
    const call = readCall(each, known);
    if ("reason" in call) malformed.push({ text: CALL + each, reason: call.reason });
    else calls.push(call);
  }
  return { content, calls, malformed };
}

/** `name input`, up to the next call. */
function readCall(
  written: string,
  tools: ReadonlyMap<string, ToolDefinition>,
): ParsedCall | { readonly reason: string } {
  const text = written.trim();
  const space = text.search(/\s/);
  const name = space < 0 ? text : text.slice(0, space);
  if (name === "") return { reason: `a call must name a tool: ${CALL}name input` };
  const input = space < 0 ? "" : text.slice(space).trim();
  if (input === "") return { name, input: {} };
  if (input.startsWith("{")) return readObject(name, input);
  const tool = tools.get(name);
  if (!tool) return { name, input };
  const parameter = rawParameter(tool);
  if (parameter !== undefined)
    return { name, input: { [parameter]: coerced(input, typeOf(tool, parameter)) } };
  const names = namesOf(tool);
  if (names.length === 0) return { reason: `${name} takes no input: write ${CALL}${name}` };
  const example = names.map((each) => `${JSON.stringify(each)}: ...`).join(", ");
  return { reason: `the input of ${name} must be JSON: ${CALL}${name} {${example}}` };
}

function readObject(name: string, input: string): ParsedCall | { readonly reason: string } {
  const read = readJson(input);
  if ("reason" in read) return { reason: `the input of ${name} is no JSON: ${read.reason}` };
  if (skipSpace(input, read.end) === input.length) return { name, input: read.value };
  const rest = JSON.stringify(input.slice(read.end, read.end + 12));
  return { reason: `behind the input of ${name} there must be nothing, and is ${rest}` };
}

/** The parameter whose value may be written without its name: the one that is required, or the only one. */
function rawParameter(tool: ToolDefinition): string | undefined {
  const names = namesOf(tool);
  return names.length === 1 ? names[0] : undefined;
}

/** The parameters that are required, or all where none is. */
function namesOf({ parameters }: ToolDefinition): readonly string[] {
  const { required, properties } = parameters;
  if (Array.isArray(required) && required.length > 0) return required.map(String);
  return isObject(properties) ? Object.keys(properties) : [];
}

function typeOf({ parameters: { properties } }: ToolDefinition, parameter: string): unknown {
  const schema = isObject(properties) ? properties[parameter] : undefined;
  return isObject(schema) ? schema["type"] : undefined;
}

/** A text as the type that a schema names, where it is of that type. */
function coerced(text: string, type: unknown): unknown {
  if (type === "string" || typeof type !== "string") return text;
  const read = readJson(text);
  if ("reason" in read || read.end !== text.length) return text;
  const { value } = read;
  const isOfType = type === "array" ? Array.isArray(value) : typeof value === nameInScript(type);
  return isOfType ? value : text;
}

function nameInScript(type: string): string {
  return type === "integer" ? "number" : type;
}
