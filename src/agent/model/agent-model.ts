/** The policy as agents know models: a client of chat completions, and a language model of the Vercel AI SDK. */
import type { Chat } from "../chat/chat.ts";
import { aiSdkModel } from "./ai-sdk-model.ts";
import type { AiSdkModel } from "./ai-sdk-types.ts";
import { chatCompletions } from "./chat-completions.ts";
import { HandedReplies } from "./handed-replies.ts";
import type { OnReply } from "./model-desk.ts";
import { BASE_URL, modelFetch } from "./model-fetch.ts";
import type { ChatCompletions, ModelList } from "./openai-types.ts";

/**
 * The policy in process, as clients know models. How is sampled is the run's to say: `temperature` and the like are ignored.
 * All ways may be mixed; each request is an answer to train on, and a chat that goes on, goes on at token level.
 */
export interface AgentModel extends AiSdkModel {
  /** As the client of the package `openai`. */
  readonly chat: { readonly completions: ChatCompletions };
  readonly models: { list(): Promise<ModelList> };
  /**
   * For clients that want a server: `new OpenAI({ baseURL, apiKey, fetch })`. Answers POST chat/completions and GET models
   * under `baseURL`, and nothing goes over the network.
   */
  readonly fetch: (input: string | URL | Request, init?: RequestInit) => Promise<Response>;
  readonly baseURL: string;
  /** Anything would do. */
  readonly apiKey: string;
  /** The model for a sub-agent, with a name of its own. */
  as(role: string): AgentModel;
}

/** Options of {@link agentModel}. */
export interface AgentModelOptions {
  /** Name of the model. Default "policy". */
  readonly id?: string;
  readonly onReply?: OnReply;
}

/** The policy behind a chat. */
export function agentModel(chat: Chat, options: AgentModelOptions = {}): AgentModel {
  const { id = "policy", onReply = () => {} } = options;
  const handed = new HandedReplies();
  let count = 0;
  const nextId = (): string => `chatcmpl-${count++}`;
  const list: ModelList = {
    object: "list",
    data: [{ id, object: "model", created: 0, owned_by: "forge-gpu" }],
  };
  const models = { list: async () => list };
  const modelOf = (line: Chat): AgentModel => {
    const desk = { chat: line, id, handed, nextId, onReply };
    const completions = chatCompletions(desk);
    return {
      ...aiSdkModel(desk),
      chat: { completions },
      models,
      fetch: modelFetch({ completions, models }),
      baseURL: BASE_URL,
      apiKey: "in-process",
      as: (role) => modelOf(line.as(role)),
    };
  };
  return modelOf(chat);
}
