/** Tools as the Vercel AI SDK takes them, said structurally: its packages are not needed. */
import type { ToolDefinition } from "../message.ts";

/** What the AI SDK's loop says of a call. */
export interface AiSdkCallOptions {
  readonly toolCallId: string;
  readonly abortSignal?: AbortSignal | undefined;
}

/** A schema as Standard Schema and Standard JSON Schema say it. */
export interface StandardToolSchema {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => { readonly value: unknown };
    readonly jsonSchema: {
      readonly input: () => Record<string, unknown>;
      readonly output: () => Record<string, unknown>;
    };
  };
}

/** A tool of the AI SDK. */
export interface AiSdkTool {
  readonly description?: string;
  readonly inputSchema: StandardToolSchema;
  readonly execute: (input: unknown, options: AiSdkCallOptions) => Promise<string>;
}

/** Tools of the AI SDK, by name. */
export type AiSdkTools = Record<string, AiSdkTool>;

/** How the AI SDK knows a schema that it is to pass on as it is: a standard one it would rewrite, and so the prompt. */
const AI_SDK_SCHEMA = Symbol.for("vercel.ai.schema");

/** A tool for the AI SDK. Every input is let through, for the call to check: one that does not fit is told and recorded. */
export function aiSdkTool(
  { description, parameters }: ToolDefinition,
  execute: (
    input: unknown,
    options: { readonly callId: string; readonly signal?: AbortSignal },
  ) => Promise<string>,
): AiSdkTool {
  const json = (): Record<string, unknown> => ({ ...parameters });
  const inputSchema = {
    "~standard": {
      version: 1 as const,
      vendor: "forge-gpu",
      validate: (value: unknown) => ({ value }),
      jsonSchema: { input: json, output: json },
    },
    [AI_SDK_SCHEMA]: true,
    jsonSchema: parameters,
    validate: (value: unknown) => ({ success: true, value }),
  };
  return {
    ...(description !== undefined && { description }),
    inputSchema,
    execute: (input, { toolCallId, abortSignal }) =>
      execute(input, { callId: toolCallId, ...(abortSignal && { signal: abortSignal }) }),
  };
}
