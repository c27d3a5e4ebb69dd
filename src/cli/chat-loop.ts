/** What `forge-gpu chat` does: reads lines, and answers them or does what they command. */
import { type ChatMessage, ForgeError } from "../../engine/index.ts";
import {
  Conversation,
  type ConversationOptions,
  type Turn,
  type TurnRequest,
} from "../rollout/conversation.ts";
import { Sampler } from "../rollout/sampler.ts";
import { INTERRUPTED } from "./interrupt.ts";
import { Lines } from "./lines.ts";
import type { ModelFlags } from "./model.ts";
import { openModel } from "./opened-model.ts";
import { type SamplingFlags, STREAMED_STEPS, samplingOf } from "./sampling.ts";

/** What the command line says. */
export interface ChatFlags extends ModelFlags, SamplingFlags {
  readonly system?: string;
  readonly variable?: readonly (readonly [name: string, value: unknown])[];
  readonly length: number;
  readonly verbose?: true;
}

const HELP = `/system <text>  begin anew with this system message; without a text, show the one that there is
/reset          begin anew
/help           list the commands
/quit           leave, as Ctrl-D does
//<text>        a message that begins with a slash
Ctrl-C stops an answer.
`;

/** What the next message may do better: the conversation is as it was. */
const MENDABLE: ReadonlySet<string> = new Set(["context_exceeded", "template_invalid"]);

/** Runs the command. `maxTokens` are sampled at most where neither the command line nor the model says how many. */
export async function chat(name: string, flags: ChatFlags, maxTokens: number): Promise<void> {
  await using opened = await openModel(name, flags);
  const { device, directory } = opened;
  const { model, tokenizer, template, generation } = directory;
  if (!tokenizer || !template) {
    throw new ForgeError({
      code: "template_invalid",
      what: `this model has no ${tokenizer ? "chat template: it was made to continue texts" : "tokenizer.json: it knows no text"}.`,
      got: directory.path,
      fix: `use: forge-gpu generate ${name}`,
    });
  }
  const length = Math.min(model.maxLength, flags.length);
  const sampler = new Sampler({
    ...{ device, model, tokenizer, length, batch: 1, steps: STREAMED_STEPS, seed: flags.seed },
  });
  const variables = Object.fromEntries(flags.variable ?? []);
  const stopIds = generation.eosIds;
  const { repetitionStop: repetition } = flags;
  const request: TurnRequest = {
    maxTokens: flags.maxTokens ?? generation.maxNewTokens ?? maxTokens,
    sampling: samplingOf(flags, generation),
    ...(repetition && { repetition }),
  };
  const loop = new Chat({ sampler, tokenizer, template, variables, stopIds }, request, flags);
  try {
    await loop.run(
      `${directory.path} (${model.family}): /help lists the commands, Ctrl-D leaves\n`,
    );
  } finally {
    await sampler.close();
  }
}

class Chat {
  readonly #options: ConversationOptions;
  readonly #request: TurnRequest;
  readonly #isVerbose: boolean;
  readonly #lines = new Lines(() => this.#interrupt());
  #system: string | undefined;
  #conversation: Conversation;
  #answering: AbortController | undefined;
  /** How often Ctrl-C has come since the last line, but to stop an answer. */
  #interrupts = 0;

  constructor(options: ConversationOptions, request: TurnRequest, flags: ChatFlags) {
    this.#options = options;
    this.#request = request;
    this.#isVerbose = flags.verbose === true;
    this.#system = flags.system;
    this.#conversation = this.#begin();
  }

  /** Greets a person; then reads until the lines end, or Ctrl-C ends them. */
  async run(greeting: string): Promise<void> {
    if (this.#lines.isTerminal) note(greeting);
    try {
      for (;;) {
        const line = await this.#lines.next("> ");
        if (line === undefined) break;
        this.#interrupts = 0;
        if (/^\/(?!\/)/.test(line)) this.#command(line);
        else if (line.trim() !== "") await this.#answer(line.replace(/^\/\//, "/"));
      }
    } finally {
      this.#lines.close();
    }
  }

  #begin(): Conversation {
    const messages: ChatMessage[] =
      this.#system === undefined ? [] : [{ role: "system", content: this.#system }];
    return new Conversation({ ...this.#options, messages });
  }

  #command(line: string): void {
    const [, word = "", text = ""] = /^(\/\S*)\s*(.*?)\s*$/.exec(line) ?? [];
    if (word === "/quit" || word === "/exit") this.#lines.close();
    else if (word === "/help") process.stdout.write(HELP);
    else if (word === "/system" && text === "")
      process.stdout.write(`${this.#system ?? "there is no system message"}\n`);
    else if (word === "/system" || word === "/reset") {
      if (word === "/system") this.#system = text;
      this.#conversation[Symbol.dispose]();
      this.#conversation = this.#begin();
      note("a new conversation");
    } else note(`there is no ${word}; /help lists the commands`);
  }

  async #answer(content: string): Promise<void> {
    this.#answering = new AbortController();
    let length = 0;
    const onToken = ({ text }: { readonly text: string }): void => {
      length += text.length;
      process.stdout.write(text);
    };
    try {
      const message = { role: "user", content };
      const { signal } = this.#answering;
      const turn = await this.#conversation.say(message, { ...this.#request, signal, onToken });
      process.stdout.write(`${turn.generation.text.slice(length)}\n`);
      if (this.#isVerbose) note(turnText(turn));
      if (this.#lines.isTerminal) process.stdout.write("\n");
    } catch (error) {
      const isMendable = error instanceof ForgeError && MENDABLE.has(error.code);
      if (!this.#lines.isTerminal || !isMendable) throw error;
      note(`${error.message}\n  or   /reset begins anew`);
    } finally {
      this.#answering = undefined;
    }
  }

  /** Stops an answer; asks at a prompt; what comes after that quits. */
  #interrupt(): void {
    if (this.#answering?.signal.aborted === false) this.#answering.abort();
    else if (!this.#answering && this.#lines.isTerminal && this.#interrupts++ === 0)
      this.#lines.ask("Ctrl-C again, or /quit, leaves");
    else {
      process.exitCode = INTERRUPTED;
      this.#lines.close();
    }
  }
}

/** Figures of a turn in a line. */
function turnText({ generation, addedTokens, isRewritten }: Turn): string {
  const { ids, timing, reusedTokens, promptIds, finishReason } = generation;
  const first = timing.queuedMs + timing.prefillMs;
  const seconds = (first + timing.decodeMs) / 1000;
  return [
    ...(isRewritten ? ["the template writes what was said otherwise now: all of it anew"] : []),
    `${addedTokens} new of ${promptIds.length} tokens`,
    `${reusedTokens} in the cache`,
    `${ids.length} sampled (${finishReason}) in ${seconds.toFixed(2)} s`,
    `the first after ${(first / 1000).toFixed(2)} s`,
  ].join(" · ");
}

/** A line on stderr, that stands back where there are colours. */
function note(text: string): void {
  const isDim = process.stderr.isTTY === true && !process.env["NO_COLOR"];
  process.stderr.write(isDim ? `\x1b[2m${text}\x1b[22m\n` : `${text}\n`);
}
