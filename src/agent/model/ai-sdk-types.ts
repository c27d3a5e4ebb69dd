/**
 * Language models as the Vercel AI SDK has them (specification v3), as far as a policy in process is one. Types of our own: an
 * {@link AiSdkModel} is a `LanguageModel` of the package `ai`, and the package is not needed.
 */

/** A part of a message of a prompt. Which fields there are follows from its type. */
export interface AiSdkPart {
  readonly type: string;
  readonly text?: string;
  readonly toolCallId?: string;
  readonly toolName?: string;
  readonly input?: unknown;
  readonly output?: AiSdkToolOutput;
}

/** What a tool answered. */
export interface AiSdkToolOutput {
  readonly type: string;
  readonly value?: unknown;
  readonly reason?: string;
}

/** A message of a prompt. */
export type AiSdkMessage =
  | { readonly role: "system"; readonly content: string }
  | { readonly role: "user" | "assistant" | "tool"; readonly content: readonly AiSdkPart[] };

/** A tool that a model is told of. */
export interface AiSdkTool {
  /** function; anything else is refused. */
  readonly type: string;
  readonly name: string;
  readonly description?: string;
  /** JSON Schema. */
  readonly inputSchema?: unknown;
}

/** What a model is asked. How is sampled is the run's to say: temperature and the like are ignored. */
export interface AiSdkCall {
  readonly prompt: readonly AiSdkMessage[];
  readonly tools?: readonly AiSdkTool[];
  /** auto or none. The policy cannot be forced, so anything else is refused. */
  readonly toolChoice?: { readonly type: string };
  readonly maxOutputTokens?: number;
  readonly stopSequences?: readonly string[];
  /** Taken as a wish and not enforced; the answer has a warning. */
  readonly responseFormat?: { readonly type: string };
  readonly abortSignal?: AbortSignal;
}

/** What a model says. */
export type AiSdkContent =
  | { type: "text"; text: string }
  | { type: "reasoning"; text: string }
  | AiSdkToolCall;

/** A call of a tool; its input is JSON. */
export interface AiSdkToolCall {
  type: "tool-call";
  toolCallId: string;
  toolName: string;
  input: string;
}

/** What was asked and is not done. */
export interface AiSdkWarning {
  type: "unsupported";
  feature: string;
  details: string;
}

/** Why an answer ended. */
export interface AiSdkFinish {
  unified: "stop" | "length" | "tool-calls";
  raw: string;
}

/** Tokens of an answer. */
export interface AiSdkUsage {
  inputTokens: { total: number; noCache: undefined; cacheRead: undefined; cacheWrite: undefined };
  outputTokens: { total: number; text: undefined; reasoning: undefined };
}

/** Which answer this is. */
export interface AiSdkResponse {
  id: string;
  timestamp: Date;
  modelId: string;
}

/** What was sampled: `promptIds` and `ids`, under "forge-gpu". */
export type AiSdkMetadata = Record<string, { promptIds: number[]; ids: number[] }>;

/** An answer. */
export interface AiSdkAnswer {
  content: AiSdkContent[];
  finishReason: AiSdkFinish;
  usage: AiSdkUsage;
  providerMetadata: AiSdkMetadata;
  response: AiSdkResponse;
  warnings: AiSdkWarning[];
}

/** A piece of a streamed answer. */
export type AiSdkStreamPart =
  | { type: "stream-start"; warnings: AiSdkWarning[] }
  | ({ type: "response-metadata" } & AiSdkResponse)
  | { type: "text-start" | "text-end" | "reasoning-start" | "reasoning-end"; id: string }
  | { type: "text-delta" | "reasoning-delta"; id: string; delta: string }
  | { type: "tool-input-start"; id: string; toolName: string }
  | { type: "tool-input-delta"; id: string; delta: string }
  | { type: "tool-input-end"; id: string }
  | AiSdkToolCall
  | {
      type: "finish";
      usage: AiSdkUsage;
      finishReason: AiSdkFinish;
      providerMetadata: AiSdkMetadata;
    };

/** A language model: what `generateText` and `streamText` take. */
export interface AiSdkModel {
  readonly specificationVersion: "v3";
  readonly provider: string;
  readonly modelId: string;
  /** None: a policy reads text only. */
  readonly supportedUrls: Record<string, RegExp[]>;
  /** Errors: `argument_invalid` for a prompt or tools that a policy cannot be told of; those of `Chat.ask`. */
  doGenerate(call: AiSdkCall): Promise<AiSdkAnswer>;
  /** The same. Cancelling the stream ends the sampling. */
  doStream(call: AiSdkCall): Promise<{ stream: ReadableStream<AiSdkStreamPart> }>;
}
