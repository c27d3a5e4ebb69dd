/** Metrics in files: lines of JSON, and TensorBoard's events. */
import { readdirSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { AppendFile } from "./append-file.ts";
import { type Metrics, type MetricsWriter, metricsLine } from "./metrics.ts";
import type { StepLog } from "./step-log.ts";
import { restartRecord, scalarsRecord, versionRecord } from "./tensorboard-events.ts";

/** Writes each step as a line; the lines are those of {@link metricsLine}. */
export class JsonlWriter implements MetricsWriter {
  readonly #log: StepLog;

  constructor(log: StepLog) {
    this.#log = log;
  }

  write(step: number, metrics: Metrics, wallTime: number): void {
    this.#log.append(step, [metricsLine({ step, wallTime, metrics })]);
  }

  flush(): void {
    this.#log.sync();
  }

  close(): void {
    this.#log.close();
  }
}

const EVENT_FILE = /^events\.out\.tfevents\.(\d+)\./;

/**
 * Writes a new event file of TensorBoard; the earlier files of the directory stay as they are.
 *
 * Readers take the files of a directory in the order of their names, which begin with the time in seconds: the new one's
 * is later than all that are there, whatever the clock says.
 */
export class TensorboardWriter implements MetricsWriter {
  readonly #file: AppendFile;

  /**
   * `purgeFrom` is the first step of a resumed run: from it on, readers forget what earlier files say.
   *
   * @throws ForgeError `disk_full`, `run_directory_unwritable`
   */
  constructor(directory: string, purgeFrom?: number) {
    const wallTime = Date.now() / 1000;
    const others = readdirSync(directory).map((name) => Number(EVENT_FILE.exec(name)?.[1] ?? 0));
    const order = Math.max(Math.floor(wallTime), ...others.map((seconds) => seconds + 1));
    const name = `events.out.tfevents.${String(order).padStart(10, "0")}.${hostname()}.${process.pid}`;
    this.#file = new AppendFile(join(directory, name), true);
    this.#file.append(versionRecord(wallTime));
    if (purgeFrom !== undefined) this.#file.append(restartRecord({ wallTime, step: purgeFrom }));
  }

  write(step: number, metrics: Metrics, wallTime: number): void {
    this.#file.append(scalarsRecord({ wallTime, step }, metrics));
  }

  flush(): void {
    this.#file.sync();
  }

  close(): void {
    this.#file.close();
  }
}
