/**
 * Chat completions as OpenAI's API has them, as far as a policy in process speaks them. Types of our own: what is written for
 * the package `openai` compiles against them, and the package is not needed.
 */

/** A part of a message's content. Text only; images, sounds and files are refused. */
export interface TextPart {
  readonly type: "text";
  readonly text: string;
}

/** A part that a policy cannot read, refused when it is met. */
export interface OtherPart {
  readonly type: string;
}

/** A call of a tool in an assistant's message. */
export interface CompletionToolCall {
  readonly id: string;
  readonly type: "function";
  readonly function: {
    readonly name: string;
    /** JSON. */
    readonly arguments: string;
  };
}

/** A message, as clients send it. */
export interface CompletionMessage {
  /** developer means system. */
  readonly role: string;
  readonly content?: string | readonly (TextPart | OtherPart)[] | null;
  /** Of a tool's message; default: the name in the call that it answers. */
  readonly name?: string;
  readonly tool_calls?: readonly { readonly id: string; readonly type: string }[];
  readonly tool_call_id?: string;
  /** What the policy thought before it spoke. */
  readonly reasoning_content?: string | null;
}

/** What `chat.completions.create` takes. */
export interface CompletionRequest {
  /** One or more. */
  readonly messages: readonly CompletionMessage[];
  /** Anything: there is one model. */
  readonly model?: string;
  readonly tools?: readonly { readonly type: string }[];
  /** Default auto; none keeps the tools from the prompt. The policy cannot be forced, so anything else is refused. */
  readonly tool_choice?: string | object;
  readonly max_tokens?: number | null;
  /** The same as max_tokens. */
  readonly max_completion_tokens?: number | null;
  readonly stop?: string | readonly string[] | null;
  readonly stream?: boolean | null;
  readonly stream_options?: { readonly include_usage?: boolean } | null;
  /** Whether `logprobs` says how probable each sampled token was. */
  readonly logprobs?: boolean | null;
  /** 0, or refused. */
  readonly top_logprobs?: number | null;
  /** 1, or refused. */
  readonly n?: number | null;
  /** How is sampled is the run's to say: these are ignored. */
  readonly temperature?: unknown;
  readonly top_p?: unknown;
  readonly seed?: unknown;
  readonly presence_penalty?: unknown;
  readonly frequency_penalty?: unknown;
  readonly logit_bias?: unknown;
  /** Taken as a wish and not enforced. */
  readonly response_format?: unknown;
  readonly parallel_tool_calls?: unknown;
}

/** How probable a token was when it was sampled. */
export interface CompletionTokenLogprob {
  /** "token_id:" and the id. */
  token: string;
  logprob: number;
  bytes: null;
  top_logprobs: [];
}

/** Log-probs of an answer. */
export interface CompletionLogprobs {
  content: CompletionTokenLogprob[];
  refusal: null;
}

/** Why an answer ended; "length" is a cut. */
export type CompletionFinish = "stop" | "length" | "tool_calls";

/** Tokens of a completion. */
export interface CompletionUsage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
}

/** The policy's message in a completion. */
export interface CompletionAnswer {
  role: "assistant";
  /** null where it made calls and said nothing. What it wrote that looks like a call and is none is here, word by word. */
  content: string | null;
  refusal: null;
  reasoning_content?: string;
  tool_calls?: CompletionToolCall[];
}

/** An answer of the policy. */
export interface Completion {
  id: string;
  object: "chat.completion";
  /** Seconds since 1970. */
  created: number;
  model: string;
  choices: {
    index: number;
    message: CompletionAnswer;
    finish_reason: CompletionFinish;
    logprobs: CompletionLogprobs | null;
    /** What was sampled. */
    token_ids: readonly number[];
  }[];
  usage: CompletionUsage;
  /** What it was sampled after. */
  prompt_token_ids: readonly number[];
}

/** What is new in a streamed answer. */
export interface CompletionDelta {
  role?: "assistant";
  content?: string | null;
  reasoning_content?: string;
  tool_calls?: (CompletionToolCall & { index: number })[];
}

/** A piece of a streamed answer. */
export interface CompletionChunk {
  id: string;
  object: "chat.completion.chunk";
  /** Seconds since 1970. */
  created: number;
  model: string;
  /** One, or none in the chunk of `usage`. */
  choices: {
    index: number;
    delta: CompletionDelta;
    finish_reason: CompletionFinish | null;
    logprobs?: CompletionLogprobs | null;
    /** All that was sampled, in the chunk that has the `finish_reason`. */
    token_ids?: readonly number[];
  }[];
  usage?: CompletionUsage;
  /** In the chunk that has the `finish_reason`. */
  prompt_token_ids?: readonly number[];
}

/** A streamed answer, to be read once. Leaving its loop ends the sampling. */
export interface CompletionStream extends AsyncIterable<CompletionChunk> {
  /** Ends the sampling, and with it the stream, without an error. */
  readonly controller: AbortController;
}

/** Options of a call. */
export interface CompletionOptions {
  /** Ends the sampling; the call throws the signal's reason, a stream that began ends. */
  readonly signal?: AbortSignal | null;
}

/** `chat.completions` of a client. */
export interface ChatCompletions {
  /**
   * Asks for what comes next.
   *
   * Errors    `argument_invalid` for a request that is malformed or asks for what a policy cannot do; those of `Chat.ask`.
   */
  create(
    request: CompletionRequest & { readonly stream: true },
    options?: CompletionOptions,
  ): Promise<CompletionStream>;
  create(
    request: CompletionRequest & { readonly stream?: false | null },
    options?: CompletionOptions,
  ): Promise<Completion>;
  create(
    request: CompletionRequest,
    options?: CompletionOptions,
  ): Promise<Completion | CompletionStream>;
}

/** The models of a client: one. */
export interface ModelList {
  object: "list";
  data: { id: string; object: "model"; created: number; owned_by: string }[];
}
