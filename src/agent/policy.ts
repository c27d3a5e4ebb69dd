/** The policy, as an agent sees it: what it is asked, what it answers, and how it reads and writes. */
import type { Message, ToolDefinition } from "./message.ts";

/** What an agent asks of the policy. Of `prompt` and `append` it has one. */
export interface PolicyRequest {
  /** A context of its own: text, or token ids. */
  readonly prompt?: string | ArrayLike<number>;
  /** What comes behind the request before and its answer, whose ids stay as they are. */
  readonly append?: string | ArrayLike<number>;
  /** Most tokens to sample. Default: the environment's, else what the context has room for. */
  readonly maxTokens?: number;
  /** Strings that end the answer, which ends before them. */
  readonly stopStrings?: readonly string[];
  /** Which agent of the episode asks. Default "main". */
  readonly role?: string;
  /**
   * The request whose answer made the agent ask this. Credit follows these links. Default: for `append` the request before,
   * else none.
   */
  readonly parent?: number | null;
  /** The chat that the prompt was rendered from. */
  readonly chat?: RenderedChat;
  /** Ends this answer; what was sampled so far is it. */
  readonly signal?: AbortSignal;
  /** Called with text as it is sampled, special tokens left out. */
  readonly onText?: (text: string) => void;
}

/** A chat that a prompt says. */
export interface RenderedChat {
  readonly messages: readonly Message[];
  readonly tools: readonly ToolDefinition[];
}

/** An answer of the policy. */
export interface PolicyReply {
  /** Number of the request in its episode. */
  readonly requestIndex: number;
  /** Which agent of the episode asked. */
  readonly role: string;
  /** Without special tokens and stop strings. */
  readonly text: string;
  readonly ids: readonly number[];
  /** Of each id, when it was sampled. */
  readonly logprobs: readonly number[];
  /** Why it ended, as `FinishReason` of a generation; "length" is a cut. */
  readonly finishReason: string;
}

/** The policy, as an agent sees it. Requests of one episode may overlap. */
export interface Policy {
  readonly language: PolicyLanguage;
  /** Errors: those of the sampler; `state_conflict` for an `append` without a request before. */
  generate(request: PolicyRequest): Promise<PolicyReply>;
}

/** How a policy reads and writes. */
export interface PolicyLanguage {
  readonly tokenizer: PolicyTokenizer;
  /** Of chats; undefined for a model that has none. */
  readonly template: PolicyTemplate | undefined;
  /** Tokens that end an answer. */
  readonly stopIds: readonly number[];
  /** Tokens of a sequence at most: prompt and answer. */
  readonly length: number;
}

/** What of a `Tokenizer` agents need. */
export interface PolicyTokenizer {
  encode(text: string, options?: { readonly addSpecialTokens?: boolean }): number[];
  decode(ids: Iterable<number>, options?: { readonly skipSpecialTokens?: boolean }): string;
  tokenOf(id: number): string | undefined;
  isSpecial(id: number): boolean;
  readonly specialIds: readonly number[];
}

/** What of a `ChatTemplate` agents need. */
export interface PolicyTemplate {
  render(input: {
    readonly messages: readonly { readonly role: string; readonly [field: string]: unknown }[];
    readonly tools?: readonly object[];
    readonly addGenerationPrompt?: boolean;
    readonly [variable: string]: unknown;
  }): string;
}
