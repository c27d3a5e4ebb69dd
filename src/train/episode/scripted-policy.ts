/** A policy whose answers are given: for demonstrations, right answers, and episodes that are played again. */
import type { Policy, PolicyLanguage, PolicyReply, PolicyRequest } from "../../agent/policy.ts";
import { type AnsweredRequest, promptOf } from "./prompt.ts";

/** A request, and what was answered. */
export interface ScriptedRequest {
  readonly role: string;
  readonly parent: number | null;
  readonly promptIds: readonly number[];
  readonly responseIds: readonly number[];
}

/** The ids of the answer to a request, with the one that ends it. */
export type ScriptedAnswer = (
  request: PolicyRequest,
  requestIndex: number,
) => readonly number[] | Promise<readonly number[]>;

/** See the file's head. */
export class ScriptedPolicy implements Policy {
  readonly language: PolicyLanguage;
  /** In the order in which they were asked. */
  readonly requests: ScriptedRequest[] = [];
  readonly replies: PolicyReply[] = [];
  readonly #answer: ScriptedAnswer;
  #last: AnsweredRequest | undefined;
  #asked = 0;

  constructor(language: PolicyLanguage, answer: ScriptedAnswer) {
    this.language = language;
    this.#answer = answer;
  }

  async generate(request: PolicyRequest): Promise<PolicyReply> {
    const { role = "main" } = request;
    const { tokenizer, stopIds } = this.language;
    const { prompt, parent } = promptOf(request, this.language, this.#last);
    const requestIndex = this.#asked++;
    const ids = await this.#answer(request, requestIndex);
    const isStopped = stopIds.includes(ids.at(-1) ?? -1);
    const reply: PolicyReply = {
      ...{ requestIndex, role, ids, logprobs: ids.map(() => 0) },
      text: tokenizer.decode(ids, { skipSpecialTokens: true }),
      finishReason: isStopped ? "stop" : "length",
    };
    this.requests[requestIndex] = { role, parent, promptIds: prompt, responseIds: ids };
    this.replies[requestIndex] = reply;
    this.#last = { requestIndex, ids: [...prompt, ...ids] };
    return reply;
  }
}
