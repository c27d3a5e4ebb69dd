/** Lines that a person types, or that a pipe brings. */
import { createInterface, type Interface } from "node:readline";
import { Writable } from "node:stream";

/** See the file's head. A terminal has line editing and a history; what is typed between two prompts waits for the next. */
export class Lines {
  readonly isTerminal: boolean = process.stdin.isTTY === true;
  readonly #screen = new Screen(process.stdout.isTTY ? process.stdout : process.stderr);
  readonly #reader: Interface;
  readonly #onInterrupt: () => void;
  readonly #queue: string[] = [];
  #isClosed = false;
  #wake: (() => void) | undefined;

  /** `onInterrupt` is called at every Ctrl-C. */
  constructor(onInterrupt: () => void) {
    this.#onInterrupt = onInterrupt;
    this.#reader = createInterface({
      input: process.stdin,
      terminal: this.isTerminal,
      ...(this.isTerminal && { output: this.#screen, historySize: 1000 }),
    });
    this.#reader.on("line", (line) => {
      this.#screen.isDark = true;
      this.#queue.push(line);
      this.#wake?.();
    });
    this.#reader.on("close", () => {
      this.#isClosed = true;
      this.#wake?.();
    });
    // a terminal that is read key by key sends no signal
    this.#reader.on("SIGINT", onInterrupt);
    process.on("SIGINT", onInterrupt);
  }

  /** The next line; undefined at the end, and once it is closed. */
  async next(prompt: string): Promise<string | undefined> {
    const early = this.#queue.shift();
    this.#screen.isDark = false;
    if (early !== undefined && this.isTerminal) this.#screen.write(`${prompt}${early}\n`);
    if (early !== undefined || this.#isClosed) return early;
    if (this.isTerminal) {
      this.#reader.setPrompt(prompt);
      this.#reader.prompt(true);
    }
    while (this.#queue.length === 0 && !this.#isClosed) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#isClosed && this.isTerminal) this.#screen.write("\n");
    return this.#queue.shift();
  }

  /** Throws away what is being typed, says something, and prompts again. */
  ask(text: string): void {
    this.#reader.write(null, { ctrl: true, name: "e" });
    this.#reader.write(null, { ctrl: true, name: "u" });
    process.stderr.write(`\n${text}\n`);
    this.#reader.prompt();
  }

  /** Ends the lines: those that wait are dropped. */
  close(): void {
    this.#queue.length = 0;
    process.removeListener("SIGINT", this.#onInterrupt);
    this.#reader.close();
  }
}

/** A terminal as readline sees it. In the dark it draws nothing: an answer is being written there. */
class Screen extends Writable {
  isDark = false;
  readonly #terminal: NodeJS.WriteStream;

  constructor(terminal: NodeJS.WriteStream) {
    super({ decodeStrings: false });
    this.#terminal = terminal;
  }

  get columns(): number {
    return this.#terminal.columns;
  }

  override _write(text: string, _encoding: BufferEncoding, done: () => void): void {
    if (!this.isDark) this.#terminal.write(text);
    done();
  }
}
