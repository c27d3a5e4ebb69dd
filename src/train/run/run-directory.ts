/**
 * The directory of a run, `runs/<name>/<timestamp>/`:
 *
 *   run.json              what runs where: config, seed, adapter, versions, and each time it went on
 *   metrics.jsonl         one line a step, see `metricsLine`
 *   rollouts.jsonl        one line an episode
 *   events.out.tfevents.* the metrics for TensorBoard, a file for each time it went on
 *   checkpoints/
 *   summary.json          how it ended
 *   .lock                 who is writing it
 */
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { release as systemRelease } from "node:os";
import { join, resolve } from "node:path";
import { ForgeError } from "../../../engine/error.ts";
import { lockHolder, takeFileLock } from "../../disk/file-lock.ts";
import { readJsonFile, writeJsonFile } from "./json-file.ts";
import { type Metrics, type MetricsWriter, parseMetricsLine, type StepMetrics } from "./metrics.ts";
import { JsonlWriter, TensorboardWriter } from "./metrics-files.ts";
import { onRunFiles } from "./run-error.ts";
import { StepLog } from "./step-log.ts";

/** Where a run runs. It may change when a run goes on. */
export interface RunPlace {
  /** Version of forge-gpu. */
  readonly version: string;
  /** The adapter, as its device describes it. */
  readonly adapter: Readonly<Record<string, unknown>>;
  /** Whether the run, resumed on this adapter, gives the same bits as one that was never interrupted. */
  readonly isDeterministic: boolean;
  /** Why not; empty if it does. */
  readonly nondeterminism: readonly string[];
}

/** What a run is. */
export interface RunDescription extends RunPlace {
  /** Folder of the run in `runs`. Letters, digits, `.`, `_` and `-`. */
  readonly name: string;
  /** The whole configuration, defaults included, as JSON. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly seed: number;
  /** Absolute path of the folder from which paths in the configuration are meant. */
  readonly directory?: string;
  /** The cluster that trains it: 16 bytes in hex, the same at all nodes. */
  readonly runId?: string;
}

/** A time that a run went on. */
export interface Resumption extends RunPlace {
  /** The last step that counts: that of the checkpoint. `null` where there was none yet, and the run began again. */
  readonly step: number | null;
  /** The checkpoint's path. */
  readonly checkpoint: string | null;
}

/** What of the machine is added to {@link RunPlace}. */
interface RunMachine {
  readonly node: string;
  readonly system: string;
}

/** `run.json`. Times are ISO 8601. */
export interface RunRecord extends RunDescription, RunMachine {
  readonly startedAt: string;
  /** Oldest first. */
  readonly resumed: readonly (Resumption & RunMachine & { readonly resumedAt: string })[];
}

/** Settings of an opened run. */
export interface RunOptions {
  /** Whether metrics are written for TensorBoard too. Default true. */
  readonly tensorboard?: boolean;
  /** Further places for metrics. */
  readonly writers?: readonly MetricsWriter[];
}

/** A run that this process, and no other, writes. */
export class RunDirectory {
  /** Absolute. */
  readonly path: string;
  /** The folder of the checkpoints, which is there. */
  readonly checkpoints: string;
  #record: RunRecord;
  readonly #release: () => void;
  readonly #metrics: StepLog;
  readonly #rollouts: StepLog;
  readonly #options: RunOptions;
  /** Opened by the first step: a run that fails before it leaves no empty file. */
  #writers: readonly MetricsWriter[] | undefined;
  #purgeFrom: number | undefined;

  private constructor(path: string, record: RunRecord, release: () => void, options: RunOptions) {
    this.path = path;
    this.checkpoints = join(path, "checkpoints");
    this.#record = record;
    this.#release = release;
    this.#options = options;
    onRunFiles(path, () => mkdirSync(this.checkpoints, { recursive: true }));
    this.#metrics = new StepLog(join(path, "metrics.jsonl"));
    this.#rollouts = new StepLog(join(path, "rollouts.jsonl"));
  }

  /**
   * Makes the directory of a new run in the folder `runs`.
   *
   * @throws ForgeError `run_directory_unwritable`, `disk_full`; `argument_invalid` for a name that is no folder's
   */
  static create(runs: string, description: RunDescription, options: RunOptions = {}): RunDirectory {
    checkName(description.name);
    const startedAt = new Date().toISOString();
    const path = newFolder(resolve(runs, description.name), startedAt);
    const record: RunRecord = { ...description, ...machine(), startedAt, resumed: [] };
    return locked(path, (release) => {
      writeJsonFile(join(path, "run.json"), record);
      return new RunDirectory(path, record, release, options);
    });
  }

  /**
   * Opens a run to go on with it: look for the checkpoint, then {@link rewind}.
   *
   * @throws ForgeError `run_not_found`; `run_locked` while another process writes it; `file_invalid` for a damaged
   * `run.json`; `run_directory_unwritable`
   */
  static open(directory: string, options: RunOptions = {}): RunDirectory {
    const path = resolve(directory);
    const file = join(path, "run.json");
    if (!existsSync(file)) {
      throw new ForgeError({
        code: "run_not_found",
        what: "the directory holds no run",
        got: `no run.json in ${path}`,
        fix: "name the directory of a run: runs/<name>/<timestamp>",
      });
    }
    return locked(path, (release) => {
      const record = readJsonFile(file) as unknown as RunRecord;
      return new RunDirectory(path, record, release, options);
    });
  }

  /** What `run.json` says. */
  get record(): RunRecord {
    return this.#record;
  }

  /**
   * Goes back to the step of a checkpoint: cuts what the logs say of later steps, and notes it in `run.json`. TensorBoard
   * forgets those steps by a mark in its next file. To be called before anything is written.
   *
   * @throws ForgeError `disk_full`, `run_directory_unwritable`
   */
  rewind(resumption: Resumption): void {
    // what was measured before the first step is measured again
    const step = resumption.step ?? -1;
    this.#metrics.rewind(step);
    this.#rollouts.rewind(step);
    this.#purgeFrom = step + 1;
    const again = { ...resumption, ...machine(), resumedAt: new Date().toISOString() };
    this.#record = { ...this.#record, resumed: [...this.#record.resumed, again] };
    writeJsonFile(join(this.path, "run.json"), this.#record);
  }

  /**
   * Writes the metrics of a step to all writers. Steps never fall.
   *
   * @throws ForgeError `disk_full`, `run_directory_unwritable`, `argument_invalid`
   */
  async writeMetrics(step: number, metrics: Metrics): Promise<void> {
    this.#writers ??= this.#openWriters();
    const wallTime = Date.now() / 1000;
    for (const writer of this.#writers) await writer.write(step, metrics, wallTime);
  }

  /**
   * Writes the episodes of a step, one line each: `{"step":…, …}`, all or none. Numbers that JSON does not have are null.
   *
   * @throws ForgeError as {@link writeMetrics}
   */
  writeRollouts(step: number, episodes: readonly object[]): void {
    this.#rollouts.append(
      step,
      episodes.map((episode) => JSON.stringify(Object.assign({ step }, episode, { step }))),
    );
  }

  /** What the log says, step by step: the history of a run that goes on. */
  readMetrics(): readonly StepMetrics[] {
    return readMetrics(this.path);
  }

  /** Writes `summary.json`, in the place of the one that is there. */
  writeSummary(summary: Readonly<Record<string, unknown>>): void {
    writeJsonFile(join(this.path, "summary.json"), summary);
  }

  /** Returns once the logs outlive the machine's power: before a checkpoint that they belong to gets its name. */
  async flush(): Promise<void> {
    this.#rollouts.sync();
    for (const writer of this.#writers ?? []) await writer.flush();
  }

  /** Ends the writing, and lets others write. */
  async close(): Promise<void> {
    try {
      for (const writer of this.#writers ?? []) await writer.close();
      if (!this.#writers) this.#metrics.close();
      this.#rollouts.close();
    } finally {
      this.#release();
    }
  }

  #openWriters(): readonly MetricsWriter[] {
    const { tensorboard = true, writers = [] } = this.#options;
    return [
      new JsonlWriter(this.#metrics),
      ...(tensorboard ? [new TensorboardWriter(this.path, this.#purgeFrom)] : []),
      ...writers,
    ];
  }
}

/** What the log of a run says, step by step; it may be read while the run is written. */
export function readMetrics(directory: string): readonly StepMetrics[] {
  const lines = readFileSync(join(directory, "metrics.jsonl"), "utf8").split("\n");
  return lines.flatMap((line) => parseMetricsLine(line) ?? []);
}

function locked(path: string, open: (release: () => void) => RunDirectory): RunDirectory {
  const file = join(path, ".lock");
  const release = onRunFiles(path, () => takeFileLock(file));
  if (!release) {
    const [pid = "?", host = "?"] = (lockHolder(file) ?? "").split(" ");
    throw new ForgeError({
      code: "run_locked",
      what: "another process writes this run",
      got: `process ${pid} on ${host} holds ${file}`,
      fix: "wait for it, or stop it; if it is another program that got the number of a dead one, delete the file",
    });
  }
  try {
    return open(release);
  } catch (error) {
    release();
    throw error;
  }
}

/** Makes a folder named by the time, or the next free name after it. */
function newFolder(parent: string, time: string): string {
  const stamp = time.slice(0, 19).replaceAll(":", "-");
  return onRunFiles(parent, () => {
    mkdirSync(parent, { recursive: true });
    for (let n = 1; ; n++) {
      const path = join(parent, n === 1 ? stamp : `${stamp}_${String(n).padStart(3, "0")}`);
      if (tryMakeFolder(path)) return path;
    }
  });
}

function tryMakeFolder(path: string): boolean {
  try {
    mkdirSync(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

function machine(): RunMachine {
  const system = `${process.platform} ${process.arch} ${systemRelease()}`;
  return { node: process.version, system };
}

function checkName(name: string): void {
  if (/^[\w-][\w.-]*$/.test(name)) return;
  throw new ForgeError({
    code: "argument_invalid",
    what: "the name of a run is a folder's name",
    got: JSON.stringify(name),
    fix: "use letters, digits, '.', '_' and '-', and no '.' at the start",
  });
}
