/** What `forge-gpu chat` does: reads lines, and answers them or does what they command. */
import { type ChatMessage, ForgeError } from "../../engine/index.ts";
import { Conversation, type ConversationOptions, type Turn } from "../rollout/conversation.ts";
import { Sampler } from "../rollout/sampler.ts";
import { type ChatFlags, LENGTH, MAX_TOKENS } from "./chat.ts";
import { INTERRUPTED } from "./interrupt.ts";
import { Lines } from "./lines.ts";
import { type OpenedModel, openModel } from "./opened-model.ts";
import { STREAMED_STEPS, samplingOf } from "./sampling.ts";

const HELP = `/system <text>  begin anew with this system message; without a text, show the one that there is
/reset          begin anew
/help           list the commands
/quit           leave, as Ctrl-D does
//<text>        a message that begins with a slash
Ctrl-C stops an answer.
`;

/** What the next message may do better: the conversation is as it was. */
const MENDABLE: ReadonlySet<string> = new Set(["context_exceeded", "template_invalid"]);

/** Runs the command. */
export async function chat(name: string, flags: ChatFlags): Promise<void> {
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
  const length = flags.length ?? Math.min(model.maxLength, LENGTH);
  const sampler = new Sampler({
    ...{ device, model, tokenizer, length, batch: 1, steps: STREAMED_STEPS, seed: flags.seed },
  });
  const variables = Object.fromEntries(flags.variable ?? []);
  const stopIds = generation.eosIds;
  try {
    await new Chat({ sampler, tokenizer, template, variables, stopIds }, flags, opened).run();
  } finally {
    await sampler.close();
  }
}

class Chat {
  readonly #options: ConversationOptions;
  readonly #flags: ChatFlags;
  readonly #opened: OpenedModel;
  readonly #lines = new Lines(() => this.#interrupt());
  #system: string | undefined;
  #conversation: Conversation;
  #answering: AbortController | undefined;
  /** How often Ctrl-C has come since the last line, but to stop an answer. */
  #interrupts = 0;

  constructor(options: ConversationOptions, flags: ChatFlags, opened: OpenedModel) {
    this.#options = options;
    this.#flags = flags;
    this.#opened = opened;
    this.#system = flags.system;
    this.#conversation = this.#begin();
  }

  /** Until the lines end, or Ctrl-C ends them. */
  async run(): Promise<void> {
    const { path, model } = this.#opened.directory;
    if (this.#lines.isTerminal)
      note(`${path} (${model.family}): /help lists the commands, Ctrl-D leaves\n`);
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
    const { generation: defaults } = this.#opened.directory;
    const { maxTokens = defaults.maxNewTokens ?? MAX_TOKENS, repetitionStop } = this.#flags;
    this.#answering = new AbortController();
    let length = 0;
    try {
      const turn = await this.#conversation.say(
        { role: "user", content },
        {
          maxTokens,
          sampling: samplingOf(this.#flags, defaults),
          ...(repetitionStop && { repetition: repetitionStop }),
          signal: this.#answering.signal,
          onToken: ({ text }) => {
            length += text.length;
            process.stdout.write(text);
          },
        },
      );
      process.stdout.write(`${turn.generation.text.slice(length)}\n`);
      if (this.#flags.verbose) note(turnText(turn));
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
