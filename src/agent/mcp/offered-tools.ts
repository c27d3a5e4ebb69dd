/** What a server offers, as tools. */
import { ForgeError } from "../../../engine/error.ts";
import type { Tool, ToolSet } from "../tool/tool.ts";

/** A tool as a server offers it. */
export interface OfferedTool {
  readonly name: string;
  readonly description?: string | undefined;
  /** JSON Schema. */
  readonly inputSchema: Readonly<Record<string, unknown>>;
  readonly execution?: { readonly taskSupport?: string | undefined } | undefined;
}

/** Says what is wrong with an input; undefined for one that fits. */
export type InputCheck = (input: unknown) => string | undefined;

/** How offered tools are made into tools. */
export interface OfferedToolsOptions {
  /** Makes the check of a schema; throws for one that it cannot read. */
  readonly checkOf: (schema: Readonly<Record<string, unknown>>) => InputCheck;
  readonly call: (
    name: string,
    input: Record<string, unknown>,
    signal: AbortSignal,
  ) => Promise<string>;
  readonly timeoutMs?: number | undefined;
}

/** Tools by name. Those that can only be started, and asked about later, are left out. */
export function toolsOf(offered: readonly OfferedTool[], options: OfferedToolsOptions): ToolSet {
  const usable = offered.filter(({ execution }) => execution?.taskSupport !== "required");
  return Object.fromEntries(usable.map((each) => [each.name, toolOf(each, options)]));
}

function toolOf(
  { name, description, inputSchema }: OfferedTool,
  { call, checkOf, timeoutMs }: OfferedToolsOptions,
): Tool<Record<string, unknown>> {
  // the dialect and the name of a schema tell a model nothing
  const { $schema: _, $id: __, ...schema } = inputSchema;
  let check: InputCheck | undefined;
  return {
    ...(description !== undefined && { description }),
    ...(timeoutMs !== undefined && { timeoutMs }),
    inputSchema: schema,
    parse: (input) => {
      if (typeof input !== "object" || input === null || Array.isArray(input))
        throw misfit("it is no object");
      check ??= checkWhere(checkOf, schema);
      const problem = check(input);
      if (problem !== undefined) throw misfit(problem);
      return input as Record<string, unknown>;
    },
    run: (input, { signal }) => call(name, input, signal),
  };
}

/** A schema that cannot be read here is left to the server, which checks inputs too. */
function checkWhere(
  checkOf: OfferedToolsOptions["checkOf"],
  schema: Readonly<Record<string, unknown>>,
): InputCheck {
  try {
    return checkOf(schema);
  } catch {
    return () => undefined;
  }
}

function misfit(problem: string): ForgeError {
  return new ForgeError({
    code: "tool_input_invalid",
    what: `the input does not fit: ${problem}`,
    fix: "give an input that fits the tool's schema",
  });
}
