/** Agents: what plays a task, between the policy and the tools. */
import type { Chat } from "./chat/chat.ts";
import type { Message } from "./message.ts";
import type { AgentModel } from "./model/agent-model.ts";
import type { BoundTools } from "./tool/bound-tools.ts";

/** What an agent is given. */
export interface AgentContext<Task, State> {
  readonly task: Task;
  /** Of the environment, made for this episode. */
  readonly state: State;
  /** The policy, as clients of chat completions and the AI SDK know it. */
  readonly model: AgentModel;
  /** The policy, as messages in and a message out. */
  readonly chat: Chat;
  /** The environment's tools. What is called through them is recorded, bounded in time and size, and never throws. */
  readonly tools: BoundTools;
  /** How the chat begins: the environment's `system` and `user`. */
  readonly messages: readonly Message[];
  /** Requests that it is meant to make at most. */
  readonly maxTurns: number;
  /** Of this episode: the same for the same run, task and sample. */
  readonly seed: number;
  /** Aborted when the episode is called off. */
  readonly signal: AbortSignal;
}

/** Plays a task. What it returns is the trace's `result`; what it throws makes the episode an `agent_error`. */
export type Agent<Task, State = undefined, Result = unknown> = (
  context: AgentContext<Task, State>,
) => Promise<Result>;

/** An agent of your own, for `agent` of an environment; here for its types. */
export function defineAgent<Task, State = undefined, Result = unknown>(
  agent: Agent<Task, State, Result>,
): Agent<Task, State, Result> {
  return agent;
}
