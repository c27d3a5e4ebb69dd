/** The agent that is there by default: the policy speaks, its tools answer, until it calls none. */
import type { Agent, AgentContext } from "./agent.ts";
import type { Message } from "./message.ts";

/** What a {@link ContextManager} sees. */
export interface ManagedContext<Task, State>
  extends Pick<AgentContext<Task, State>, "task" | "state" | "model" | "chat" | "tools"> {
  /** What the policy would be shown next. */
  readonly messages: readonly Message[];
  /** Requests of the loop so far. */
  readonly turn: number;
  /** Tokens of the last request and its answer; 0 before the first. */
  readonly tokens: number;
  /** Tokens of a sequence at most. */
  readonly length: number;
}

/**
 * Decides what the policy is shown next: messages in the place of those so far, or nothing, for no change. It may ask the
 * policy itself, for a summary: what is sampled then is trained like anything else. With the tools of before in that request
 * too, it continues the chat rather than beginning anew.
 *
 * Source    f_CM of MiniMax's Forge: s_{t+1} = f_CM(concat(s_t, a_t, o_t)).
 */
export type ContextManager<Task, State = undefined> = (
  context: ManagedContext<Task, State>,
) => readonly Message[] | undefined | Promise<readonly Message[] | undefined>;

/** Options of {@link toolLoop}. */
export interface ToolLoopOptions<Task, State> {
  /** Called before each request. Default: messages are only appended. */
  readonly context?: ContextManager<Task, State> | undefined;
  /** Asked when tools have answered: whether the episode is over. Default: it is not. */
  readonly isDone?:
    | ((at: {
        readonly task: Task;
        readonly state: State;
        readonly messages: readonly Message[];
        readonly turn: number;
      }) => boolean)
    | undefined;
  /** Tokens of a sequence at most, for `context`. */
  readonly length: number;
}

/**
 * Asks the policy, runs what it calls, and asks again, at most `maxTurns` times; an answer that was cut ends it.
 *
 * @returns an agent whose result is the content of the last answer
 */
export function toolLoop<Task, State>(
  options: ToolLoopOptions<Task, State>,
): Agent<Task, State, string> {
  const { context: manage, isDone, length } = options;
  return async ({ task, state, model, chat, tools, messages: opening, maxTurns }) => {
    let messages: readonly Message[] = opening;
    let tokens = 0;
    for (let turn = 0; ; ) {
      const seen = { task, state, model, chat, tools, messages, turn, tokens, length };
      // awaited only where there is something to wait for: requests that overlap stay in step
      if (manage) messages = (await manage(seen)) ?? messages;
      const reply = await chat.ask({ messages, tools: tools.definitions });
      turn++;
      tokens = reply.promptIds.length + reply.ids.length;
      const { requestIndex, malformed, message } = reply;
      const { content, toolCalls: calls = [] } = message;
      messages = [...messages, message];
      const isOver = reply.finishReason === "length" || reply.finishReason === "cancelled";
      if (isOver || calls.length + malformed.length === 0) return content;
      const answers = await tools.run({ requestIndex, role: chat.role, calls, malformed });
      messages = [...messages, ...answers];
      if (turn >= maxTurns || isDone?.({ task, state, messages, turn })) return content;
    }
  };
}
