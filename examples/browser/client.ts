/** The page's end of a worker. */
import type { Command, DemoName, Report } from "./protocol.ts";

/** Starts the worker of a demo, and hears what it says. */
export class DemoClient<Name extends DemoName> {
  readonly #demo: Name;
  readonly #onReport: (report: Report<Name>) => void;
  #worker: Worker | undefined;

  constructor(demo: Name, onReport: (report: Report<Name>) => void) {
    this.#demo = demo;
    this.#onReport = onReport;
  }

  /** Begins a run, new or from a kept checkpoint, in place of the one under way. */
  open(seed: number, checkpoint?: number): void {
    this.close();
    const worker = new Worker("worker.js", { name: this.#demo });
    worker.onmessage = ({ data }: MessageEvent<Report<Name>>) => this.#onReport(data);
    worker.onerror = ({ message }) => {
      this.#onReport({
        type: "failed",
        code: "internal",
        message: message || "worker.js is missing",
      });
    };
    this.#worker = worker;
    const at = checkpoint === undefined ? {} : { checkpoint };
    // as on the command line: ?set=optimizer.lr=1e-3&set=train.steps=40
    const overrides = new URLSearchParams(location.search).getAll("set");
    this.send({ type: "open", demo: this.#demo, seed, overrides, ...at });
  }

  send(command: Command): void {
    this.#worker?.postMessage(command);
  }

  /** Ends the worker; its GPU memory is free then. */
  close(): void {
    this.#worker?.terminate();
    this.#worker = undefined;
  }
}
