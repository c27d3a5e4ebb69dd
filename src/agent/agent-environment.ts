/** Environments of agents: a chat, tools, and what the whole play is worth. */
import type { Agent } from "./agent.ts";
import { EpisodeChat } from "./chat/episode-chat.ts";
import type {
  CommonDefinition,
  DemonstrationTurn,
  Environment,
  EpisodeContext,
  EpisodeTrace,
  GroupReward,
  RewardComponent,
  WrittenReply,
} from "./environment.ts";
import type { Message, ToolCallRecord } from "./message.ts";
import { agentModel } from "./model/agent-model.ts";
import type { PolicyReply } from "./policy.ts";
import { openTools } from "./tool/bound-tools.ts";
import type { ToolProvider } from "./tool/tool.ts";
import { type ContextManager, type ToolLoopOptions, toolLoop } from "./tool-loop.ts";

/** What rewards of an agent see: the whole play. */
export interface AgentTrace<Task, State = undefined, Result = string> {
  readonly task: Task;
  readonly state: State;
  /** What the agent returned: the content of the last answer, by default. Undefined for a play that was cut. */
  readonly result: Result | undefined;
  /** Content of the last answer of the main agent. */
  readonly text: string;
  /** The chat of the main agent, its last answer included. */
  readonly messages: readonly Message[];
  /** Calls of tools by any agent, malformed ones too. */
  readonly toolCalls: readonly ToolCallRecord[];
  /** All answers of the policy, in the order in which they were asked for. */
  readonly replies: readonly PolicyReply[];
  /** Answers of the main agent. */
  readonly turns: number;
  readonly sampledTokens: number;
  /** Whether it was cut. */
  readonly isTruncated: boolean;
}

/** What an episode's tools and agents are made for. */
export interface AgentEpisode<Task, State> {
  readonly task: Task;
  readonly state: State;
  readonly seed: number;
  readonly signal: AbortSignal;
}

/** An environment of an agent, as it is written. */
export interface AgentEnvironmentDefinition<Task, State = undefined, Result = string>
  extends CommonDefinition<Task, AgentTrace<Task, State, Result>> {
  /** What the agent is told before all else. */
  readonly system?: string | ((task: Task) => string);
  /** How the chat begins: what the user says, or messages. */
  readonly user?: (task: Task) => string | readonly Message[];
  /** What an episode keeps beside its chat, made anew for each. */
  readonly state?: (task: Task, seed: number) => State | Promise<State>;
  /** Tools, for all episodes or made for each. Default: none. */
  readonly tools?: ToolProvider | ((episode: AgentEpisode<Task, State>) => ToolProvider);
  /** Default: the loop of policy and tools, see `toolLoop`. */
  readonly agent?: Agent<Task, State, Result>;
  /** Requests of an episode's loop at most. Default 8. */
  readonly maxTurns?: number;
  /** Of the default agent, see there. */
  readonly context?: ContextManager<Task, State>;
  readonly isDone?: ToolLoopOptions<Task, State>["isDone"];
  /** Milliseconds that a call of a tool may take. Default 30,000. */
  readonly toolTimeoutMs?: number;
  /** Characters of a tool's answer that the agent is shown at most. Default 16,384. */
  readonly maxToolOutput?: number;
  /** Weight of the process reward "format": −1 for an answer with a call that cannot be run as it is written. Default 1. */
  readonly formatWeight?: number;
  /** What the policy should say, reply by reply: for a warm start by supervised learning. */
  readonly demonstration?: (turn: DemonstrationTurn<Task>) => WrittenReply | Promise<WrittenReply>;
  /** The right answer to a task, or all replies: played before training begins, and must be a success. */
  readonly validate?: (task: Task) => WrittenReply | readonly WrittenReply[];
  /** As in an environment of plain requests; tools have to be pure too. Default false. */
  readonly isPure?: boolean;
}

/** Name of the process reward for calls as they should be. */
const FORMAT = "format";

/** What a play came to, as it is handed on between `play` and the rewards. */
interface Played<State, Result> {
  readonly state: State;
  readonly result: Result;
}

/** Parts of an environment that play an agent, and its definition with rewards that see {@link EpisodeTrace}s. */
export function agentParts<Task, State, Result>(
  definition: AgentEnvironmentDefinition<Task, State, Result>,
): Pick<
  Environment<Task>,
  "play" | "demonstration" | "demonstrate" | "validate" | "isPure" | "close"
> & {
  readonly common: CommonDefinition<Task, EpisodeTrace<Task>>;
} {
  const { rewards, groupRewards = {}, isSuccess, formatWeight = 1, tools } = definition;
  const seen = (trace: EpisodeTrace<Task>): AgentTrace<Task, State, Result> => agentTrace(trace);
  const component = (reward: (typeof rewards)[string]): RewardComponent<Task> => {
    const { score, ...rest } = typeof reward === "function" ? { score: reward } : reward;
    return { ...rest, score: (trace) => score(seen(trace)) };
  };
  const compared = ({ score, ...rest }: (typeof groupRewards)[string]): GroupReward<Task> => ({
    ...rest,
    score: (traces) => score(traces.map(seen)),
  });
  return {
    common: {
      ...definition,
      rewards: {
        ...(tools !== undefined && {
          [FORMAT]: { weight: formatWeight, kind: "process" as const, score: formatScores },
        }),
        ...Object.fromEntries(Object.entries(rewards).map(([key, r]) => [key, component(r)])),
      },
      groupRewards: Object.fromEntries(
        Object.entries(groupRewards).map(([key, r]) => [key, compared(r)]),
      ),
      isSuccess: isSuccess
        ? (trace, outcome) => isSuccess(seen(trace), outcome)
        : (_, outcome) => outcome >= 1,
    },
    play: (episode) => playAgent(definition, episode),
    demonstration: undefined,
    demonstrate: definition.demonstration,
    validate: definition.validate,
    isPure: definition.isPure ?? false,
    close: () => closeShared(tools),
  };
}

async function playAgent<Task, State, Result>(
  definition: AgentEnvironmentDefinition<Task, State, Result>,
  { task, policy, seed, signal, attach }: EpisodeContext<Task>,
): Promise<Played<State, Result>> {
  const { state: make, tools: given = {}, toolTimeoutMs, maxToolOutput } = definition;
  const state = (await make?.(task, seed)) as State;
  const provider = typeof given === "function" ? given({ task, state, seed, signal }) : given;
  const chat = new EpisodeChat(policy);
  const tools = await openTools(provider, {
    ...{ task, seed, signal, askedBy: (callId) => chat.callerOf(callId) },
    ...(toolTimeoutMs !== undefined && { timeoutMs: toolTimeoutMs }),
    ...(maxToolOutput !== undefined && { maxOutput: maxToolOutput }),
  });
  try {
    attach({
      get messages() {
        return chat.messages;
      },
      toolCalls: tools.records,
      state,
    });
    const { length } = policy.language;
    const { context, isDone, maxTurns = 8 } = definition;
    const agent =
      definition.agent ??
      (toolLoop({ context, isDone, length }) as Agent<Task, State, unknown> as Agent<
        Task,
        State,
        Result
      >);
    const messages = openingOf(definition, task);
    const model = agentModel(chat, {
      // what clients deal with by themselves, and would not bring here
      onReply: ({ requestIndex, malformed }, role, refused) => {
        const calls = refused.filter(({ name }) => !tools.has(name));
        if (calls.length + malformed.length === 0) return;
        // a reply to an episode that is over is nobody's
        tools.run({ requestIndex, role, calls, malformed }).catch(() => {});
      },
    });
    const result = await agent({
      ...{ task, state, model, chat, tools, messages, maxTurns, seed, signal },
    });
    return { state, result };
  } finally {
    await tools.close();
  }
}

/** The messages that a chat begins with. */
function openingOf<Task>(
  { system, user }: Pick<AgentEnvironmentDefinition<Task, never, never>, "system" | "user">,
  task: Task,
): Message[] {
  const told = typeof system === "function" ? system(task) : system;
  const asked = user?.(task) ?? [];
  return [
    ...(told === undefined ? [] : [{ role: "system" as const, content: told }]),
    ...(typeof asked === "string" ? [{ role: "user" as const, content: asked }] : asked),
  ];
}

function agentTrace<Task, State, Result>(
  trace: EpisodeTrace<Task>,
): AgentTrace<Task, State, Result> {
  const { task, replies, details, isTruncated } = trace;
  const { messages = [], toolCalls = [], state } = details ?? {};
  const last = messages.at(-1);
  return {
    ...{ task, messages, toolCalls, replies, isTruncated },
    state: state as State,
    result: (trace.result as Played<State, Result> | undefined)?.result,
    text: last?.role === "assistant" ? last.content : "",
    turns: replies.filter(({ role }) => role === "main").length,
    sampledTokens: replies.reduce((sum, { ids }) => sum + ids.length, 0),
  };
}

/** −1 for each reply with a call that cannot be run as it is written: it is no call, names no tool, or fits no schema. */
function formatScores({ replies, details }: EpisodeTrace<unknown>): number[] {
  const broken = (details?.toolCalls ?? []).filter(({ status }) =>
    ["malformed", "unknown_tool", "invalid_input"].includes(status),
  );
  const requests = new Set(broken.map(({ requestIndex }) => requestIndex));
  return replies.map(({ requestIndex }) => (requests.has(requestIndex) ? -1 : 0));
}

/** Ends the servers of tools that all episodes share. */
async function closeShared(tools: unknown): Promise<void> {
  for (const each of Array.isArray(tools) ? tools : [tools])
    await (each as Partial<AsyncDisposable> | undefined)?.[Symbol.asyncDispose]?.();
}
