/** Results of players as they come out of their queue. */
import type { ConsumerMessages, JsMsg } from "@nats-io/jetstream";
import { ForgeError } from "../../../../engine/error.ts";
import type { NatsLink } from "./connection.ts";
import { type LedGroup, unpackResult } from "./messages.ts";
import type { RunNames } from "./streams.ts";

/** What is done with them. */
export interface ResultQueueOptions {
  /** Takes a result, and its message, which is to be acknowledged some time. */
  readonly onResult: (result: LedGroup, message: JsMsg) => void;
  readonly onTrouble: (error: ForgeError) => void;
}

/** Results on their way to us at once: of no use before the others are taken, and as large as messages can be. */
const BATCH = 16;
/** Milliseconds between two tries. */
const RETRY = 500;

/** Asks for results until it is closed, whatever becomes of the server. */
export class ResultQueue {
  readonly #link: NatsLink;
  readonly #place: RunNames["results"];
  readonly #options: ResultQueueOptions;
  readonly #receiving: Promise<void>;
  #messages: ConsumerMessages | undefined;
  #isClosed = false;

  constructor(link: NatsLink, { results }: RunNames, options: ResultQueueOptions) {
    this.#link = link;
    this.#place = results;
    this.#options = options;
    this.#receiving = this.#receive();
  }

  /** Takes no more. What is on its way goes back. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#messages?.stop();
    await this.#receiving;
  }

  async #receive(): Promise<void> {
    const { stream, consumer: name } = this.#place;
    while (!this.#isClosed) {
      try {
        const { consumers } = this.#link.jetstream;
        const consumer = await this.#link.ask(() => consumers.get(stream, name));
        const messages = await this.#link.ask(() => consumer.consume({ max_messages: BATCH }));
        this.#messages = messages;
        if (this.#isClosed) messages.stop();
        for await (const message of messages) await this.#handle(message);
      } catch (error) {
        if (this.#isClosed) return;
        this.#trouble(error);
        await pause();
      }
    }
  }

  async #handle(message: JsMsg): Promise<void> {
    try {
      const result = await unpackResult(message.data);
      if (this.#isClosed) message.nak();
      else this.#options.onResult(result, message);
    } catch (error) {
      // nothing else is stored of that job: whoever looks for it finds that it is lost
      message.ack();
      this.#trouble(error);
    }
  }

  #trouble(error: unknown): void {
    if (error instanceof ForgeError) this.#options.onTrouble(error);
    else throw error;
  }
}

/** Until it is time to try again. */
export function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, RETRY).unref());
}
