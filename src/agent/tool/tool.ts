/** Tools: what an agent may do, with an input that is checked. */
import { z } from "zod";
import { ForgeError } from "../../../engine/error.ts";

/** A tool. */
export interface Tool<Input = unknown> {
  readonly description?: string;
  /** JSON Schema of its input, an object. */
  readonly inputSchema: Readonly<Record<string, unknown>>;
  /** What the schema was made from. */
  readonly zod?: z.core.$ZodType<Input>;
  /** Milliseconds that a call may take. Default: those of the episode. */
  readonly timeoutMs?: number;
  /** UTF-16 units of its answer that an agent is shown at most. Default: those of the episode. */
  readonly maxOutput?: number;
  /**
   * An input that fits, with defaults and transformations applied.
   *
   * Errors    `tool_input_invalid`, saying where it does not fit.
   */
  parse(input: unknown): Input;
  /** What it throws is told to the agent. */
  run(input: Input, context: ToolContext): unknown;
}

/** What a call of a tool is given beside its input. */
export interface ToolContext {
  /** Aborted when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
  /** Of the episode. For tools that draw. */
  readonly seed: number;
  /** Of the episode. */
  readonly task: unknown;
  readonly callId: string;
}

/** Tools by name. */
export type ToolSet = Readonly<Record<string, Tool>>;

/** Tools that have to be opened first: a server's. */
export interface ToolSource {
  /** Tools for an episode. They are closed when it has ended. */
  open(context: { readonly signal: AbortSignal }): Promise<OpenedTools>;
}

/** Tools of a {@link ToolSource}, for an episode. */
export interface OpenedTools {
  readonly tools: ToolSet;
  close(): Promise<void>;
}

/** Tools, from wherever they come. No name may come twice. */
export type ToolProvider = ToolSet | ToolSource | readonly (ToolSet | ToolSource)[];

/** A tool, as it is written. */
export interface ToolOptions<Input, Output> {
  /** What the model is told about it. */
  readonly description?: string;
  /** Of zod, or of zod/mini: an object. Its checks must not be async. */
  readonly input: z.core.$ZodType<Input>;
  /**
   * Text is told as it is, nothing as "", bytes by their number, anything else as JSON. It may run beside other calls, and
   * should heed the signal; one that never awaits cannot be interrupted.
   */
  readonly run: (input: Input, context: ToolContext) => Output | Promise<Output>;
  /** Milliseconds that a call may take; Infinity for no limit. Default: those of the episode. */
  readonly timeoutMs?: number;
  /** UTF-16 units of its answer that an agent is shown at most. Default: those of the episode. */
  readonly maxOutput?: number;
}

/**
 * A tool from a function.
 *
 * Errors    `argument_invalid` for an input that JSON Schema cannot say or that is no object, and for limits that are not
 *           above 0.
 */
export function tool<Input, Output>(options: ToolOptions<Input, Output>): Tool<Input> {
  const { input: schema, run, description, timeoutMs, maxOutput } = options;
  checkLimits(options);
  return {
    ...(description !== undefined && { description }),
    ...(timeoutMs !== undefined && { timeoutMs }),
    ...(maxOutput !== undefined && { maxOutput }),
    inputSchema: jsonSchemaOf(schema),
    zod: schema,
    parse: (input) => parsed(schema, input),
    run,
  };
}

/** Throws `argument_invalid` for limits that nothing could keep. */
export function checkLimits(limits: { timeoutMs?: number; maxOutput?: number }): void {
  const { timeoutMs = 1, maxOutput = 1 } = limits;
  const isFine = timeoutMs > 0 && maxOutput > 0 && !Number.isNaN(timeoutMs + maxOutput);
  if (isFine) return;
  throw new ForgeError({
    code: "argument_invalid",
    what: "the limits of a tool are numbers above 0.",
    got: `timeoutMs ${timeoutMs}, maxOutput ${maxOutput}`,
    fix: "correct them, or leave them out",
  });
}

function jsonSchemaOf(schema: z.core.$ZodType): Record<string, unknown> {
  try {
    const { $schema: _, ...json } = z.toJSONSchema(schema, { io: "input", override: tidy });
    if (json.type === "object") return json;
    throw new Error(`the schema's type is ${JSON.stringify(json.type)}`);
  } catch (cause) {
    throw new ForgeError({
      code: "argument_invalid",
      what: "a tool cannot have this input.",
      got: cause instanceof Error ? cause.message : String(cause),
      why: "models are told of it as the JSON Schema of an object",
      fix: "use z.object({ … }) of what JSON has",
      cause,
    });
  }
}

/** The bounds that every `z.int()` has are tokens in every prompt, and tell a model nothing. */
function tidy({ jsonSchema }: { jsonSchema: z.core.JSONSchema.BaseSchema }): void {
  if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
  if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
}

function parsed<Input>(schema: z.core.$ZodType<Input>, input: unknown): Input {
  const result = z.safeParse(schema, input);
  if (result.success) return result.data;
  throw new ForgeError({
    code: "tool_input_invalid",
    what: `the input does not fit: ${result.error.issues.map(issueText).join("; ")}`,
    fix: "give an input that fits the tool's schema",
    cause: result.error,
  });
}

function issueText({ path, message }: z.core.$ZodIssue): string {
  return path.length === 0 ? message : `${z.core.toDotPath(path)}: ${message}`;
}
