/** Tools of an episode: opened, called beside one another, recorded, and closed. */
import { ForgeError } from "../../../engine/error.ts";
import type {
  ToolCall,
  ToolCallRecord,
  ToolCallStatus,
  ToolDefinition,
  ToolMessage,
} from "../message.ts";
import { type AiSdkTools, aiSdkTool } from "./ai-sdk-tool.ts";
import { openProviders } from "./open-providers.ts";
import { checkLimits, type OpenedTools, type Tool, type ToolProvider } from "./tool.ts";
import { answerText, errorText, shownText } from "./tool-answer.ts";
import { callTool, type ToolOutcome } from "./tool-call.ts";

export type { ToolProvider } from "./tool.ts";

/** What tools of an episode are opened for. */
export interface OpenToolsContext {
  readonly task?: unknown;
  readonly seed: number;
  /** Ends calls, which then throw its reason. */
  readonly signal: AbortSignal;
  /** Milliseconds that a call may take; Infinity for no limit. Default 30,000. */
  readonly timeoutMs?: number;
  /** UTF-16 units of an answer that the agent is shown at most. Default 16,384. */
  readonly maxOutput?: number;
  /** Who asks, for calls that do not say so: those of other libraries' loops. Default: nobody knows. */
  readonly askedBy?: (callId: string | undefined) => ToolCaller | undefined;
}

/** Which answer of the policy a call was written in. */
export interface ToolCaller {
  /** −1 where it is not known. */
  readonly requestIndex: number;
  readonly role: string;
}

/** The calls of an answer. */
export interface WrittenCalls extends ToolCaller {
  readonly calls: readonly ToolCall[];
  /** What looks like a call and is none. */
  readonly malformed: readonly { readonly text: string; readonly reason: string }[];
}

/** Of a call by a loop of one's own. */
export interface OwnCallOptions extends Partial<ToolCaller> {
  readonly callId?: string;
  /** Ends this call beside the episode's. */
  readonly signal?: AbortSignal;
}

/** What came of a call: what the agent is told, and the value behind it. */
interface Answer {
  readonly record: ToolCallRecord;
  readonly message: ToolMessage;
  readonly outcome: ToolOutcome;
}

/**
 * Opens the tools of an episode.
 *
 * Errors    `argument_invalid` for a name that comes twice or that no model could write, and for limits that are not above
 *           0; those of the sources, whereupon what was opened is closed again.
 */
export async function openTools(
  provider: ToolProvider,
  context: OpenToolsContext,
): Promise<BoundTools> {
  checkLimits(context);
  const { tools, close } = await openProviders(provider, context.signal);
  return new BoundTools(tools, close, context);
}

/** The tools of an episode; see {@link openTools}. */
export class BoundTools {
  /** As the policy is told of them. */
  readonly definitions: readonly ToolDefinition[];
  /** Calls that have ended: those of a {@link run} in the order of the answer, once all of them have. */
  readonly records: ToolCallRecord[] = [];
  readonly #tools: ReadonlyMap<string, Tool>;
  readonly #context: OpenToolsContext;
  readonly #close: OpenedTools["close"];
  readonly #closed = new AbortController();
  #ownCalls = 0;

  /** For {@link openTools}. */
  constructor(
    tools: ReadonlyMap<string, Tool>,
    close: OpenedTools["close"],
    context: OpenToolsContext,
  ) {
    this.#tools = tools;
    this.#close = close;
    this.#context = context;
    this.definitions = [...tools].map(([name, { description, inputSchema }]) => ({
      name,
      ...(description !== undefined && { description }),
      parameters: inputSchema,
    }));
  }

  /** Whether there is a tool of this name. */
  has(name: string): boolean {
    return this.#tools.has(name);
  }

  /**
   * Runs the calls of an answer, all at once. Returns a message for each: the calls in their order, then what was none.
   * Whatever a tool does, the agent is told; see {@link ToolCallStatus}.
   *
   * Errors    the reason of the episode's signal; `state_conflict` when closed.
   */
  async run({ calls, malformed, ...caller }: WrittenCalls): Promise<ToolMessage[]> {
    const answers = await Promise.all([
      ...calls.map((call) => this.#answer(call, caller)),
      ...malformed.map(({ text, reason }, i) => {
        const id = `malformed-${caller.requestIndex}-${i}`;
        const outcome = { status: "malformed" as const, error: reason };
        return this.#told({ id, name: "", input: text }, caller, outcome, performance.now());
      }),
    ]);
    this.records.push(...answers.map(({ record }) => record));
    return answers.map(({ message }) => message);
  }

  /**
   * Calls a tool, for a loop of your own. Returns what the tool returned.
   *
   * Errors    what the tool threw; a `TimeoutError` for one that took too long; `tool_input_invalid`; `argument_invalid` for
   *           a name that there is not; else as {@link run}.
   */
  async call(name: string, input: unknown, options: OwnCallOptions = {}): Promise<unknown> {
    const { outcome } = await this.#own(name, input, options);
    if (outcome.status === "ok") return outcome.value;
    throw outcome.error;
  }

  /** For `generateText` and `streamText` of the Vercel AI SDK. A call is answered as {@link run} does it, errors too. */
  forAiSdk(): AiSdkTools {
    const entries = this.definitions.map((definition) => {
      const execute = async (input: unknown, options: OwnCallOptions): Promise<string> =>
        (await this.#own(definition.name, input, options)).message.content;
      return [definition.name, aiSdkTool(definition, execute)] as const;
    });
    return Object.fromEntries(entries);
  }

  /** Ends calls that are under way and closes what was opened. Nothing the second time. */
  async close(): Promise<void> {
    if (this.#closed.signal.aborted) return;
    this.#closed.abort(closedError());
    await this.#close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #own(name: string, input: unknown, options: OwnCallOptions): Promise<Answer> {
    const { callId, signal } = options;
    const asked = this.#context.askedBy?.(callId);
    const { requestIndex = asked?.requestIndex ?? -1, role = asked?.role ?? "main" } = options;
    const call = { id: callId ?? `own-${this.#ownCalls++}`, name, input };
    const answer = await this.#answer(call, { requestIndex, role }, signal);
    this.records.push(answer.record);
    return answer;
  }

  async #answer(call: ToolCall, caller: ToolCaller, signal?: AbortSignal): Promise<Answer> {
    const start = performance.now();
    return this.#told(call, caller, await this.#outcome(call, signal), start);
  }

  async #outcome({ id, name, input }: ToolCall, signal?: AbortSignal): Promise<ToolOutcome> {
    this.#closed.signal.throwIfAborted();
    const tool = this.#tools.get(name);
    if (!tool) return { status: "unknown_tool", error: unknownTool(name, [...this.#tools.keys()]) };
    const { seed, task, signal: episode, timeoutMs = 30_000 } = this.#context;
    const signals = [episode, this.#closed.signal, ...(signal ? [signal] : [])];
    const context = { seed, task, signals, callId: id, timeoutMs: tool.timeoutMs ?? timeoutMs };
    return callTool(tool, input, context);
  }

  #told(call: ToolCall, caller: ToolCaller, outcome: ToolOutcome, start: number): Answer {
    const { requestIndex, role } = caller;
    const { id, name, input } = call;
    const said = textOf(outcome);
    const most = this.#tools.get(name)?.maxOutput ?? this.#context.maxOutput ?? 16_384;
    const shown = shownText(said.text, most);
    const status: ToolCallStatus = said.outcome.status;
    const ms = performance.now() - start;
    return {
      record: { requestIndex, role, name, input, status, ...shown, ms },
      message: { role: "tool", content: shown.content, toolCallId: id, name },
      outcome: said.outcome,
    };
  }
}

/** What the agent is told; a result that cannot be told is an error. */
function textOf(outcome: ToolOutcome): { text: string; outcome: ToolOutcome } {
  try {
    if (outcome.status === "ok") return { text: answerText(outcome.value), outcome };
    return { text: `error: ${errorText(outcome.error)}`, outcome };
  } catch (error) {
    return { text: `error: ${errorText(error)}`, outcome: { status: "error", error } };
  }
}

function unknownTool(name: string, names: readonly string[]): ForgeError {
  const shown = JSON.stringify(name.length > 64 ? `${name.slice(0, 64)}…` : name);
  return new ForgeError({
    code: "argument_invalid",
    what: `there is no tool ${shown}; there are: ${names.join(", ") || "none"}`,
    fix: "call one of these",
  });
}

function closedError(): ForgeError {
  return new ForgeError({
    code: "state_conflict",
    what: "the tools of this episode are closed.",
    why: "the episode has ended",
    fix: "call tools before the agent returns",
  });
}
