/** A run on disk, followed while it goes on. */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { isLockHeld } from "../../disk/file-lock.ts";
import type { RunDetails, RunHead, RunState, RunVersion } from "../api.ts";
import { MetricColumns } from "./metric-columns.ts";
import { RolloutIndex } from "./rollout-index.ts";

/** What `run.json` says, as far as lists show it. */
interface WrittenRun {
  readonly name?: unknown;
  readonly startedAt?: unknown;
  readonly config?: {
    readonly method?: unknown;
    readonly environment?: unknown;
    readonly train?: { readonly steps?: unknown };
  };
  readonly resumed?: readonly { readonly resumedAt?: unknown }[];
}

/** See the file's head. */
export class RunReader {
  readonly id: string;
  readonly directory: string;
  readonly metrics: MetricColumns;
  /** Read from the first time on that somebody asks for them. */
  readonly rollouts: RolloutIndex;
  #record: WrittenRun = {};
  #state: RunState = "failed";
  #rolloutBytes = 0;
  #refreshing: Promise<void> | undefined;

  constructor(id: string, directory: string) {
    this.id = id;
    this.directory = directory;
    this.metrics = new MetricColumns(join(directory, "metrics.jsonl"));
    this.rollouts = new RolloutIndex(join(directory, "rollouts.jsonl"));
  }

  /** Reads what is new, but no rollouts. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  get version(): RunVersion {
    const { generation, rows } = this.metrics;
    return { generation, rows, rolloutBytes: this.#rolloutBytes };
  }

  get state(): RunState {
    return this.#state;
  }

  get head(): RunHead {
    const { name, startedAt, config = {} } = this.#record;
    const { method, environment, train } = config;
    const { metrics } = this;
    return {
      ...{ id: this.id, state: this.#state, version: this.version },
      name: wordOf(name),
      startedAt: wordOf(startedAt),
      method: wordOf(method),
      environment: wordOf(environment).replace(/^environment /, ""),
      ...{ steps: metrics.lastStep, seconds: metrics.seconds },
      plannedSteps: typeof train?.steps === "number" ? train.steps : null,
      ...{ curve: metrics.sparkline(), evaluation: metrics.evaluation() },
    };
  }

  get details(): RunDetails {
    return {
      head: this.head,
      record: this.#record as Readonly<Record<string, unknown>>,
      directory: this.directory,
    };
  }

  async #refresh(): Promise<void> {
    const record = (await this.#document("run.json")) as WrittenRun | undefined;
    // a run that went on has cut its logs, and may have made them as long again by now
    if (record && record.resumed?.length !== this.#record.resumed?.length) {
      this.metrics.restart();
      this.rollouts.restart();
    }
    this.#record = record ?? this.#record;
    await this.metrics.follow();
    const file = await stat(join(this.directory, "rollouts.jsonl")).catch(() => undefined);
    this.#rolloutBytes = file?.size ?? 0;
    this.#state = await this.#stateNow();
  }

  async #stateNow(): Promise<RunState> {
    if (isLockHeld(join(this.directory, ".lock"))) return "live";
    const { ended, endedAt } = (await this.#document("summary.json")) ?? {};
    const resumedAt = this.#record.resumed?.at(-1)?.resumedAt;
    // that of an earlier time that it went on says nothing of the last
    const isCurrent = resumedAt === undefined || String(endedAt) > String(resumedAt);
    if (ended === undefined || !isCurrent) return "failed";
    return ended === "done" ? "done" : "interrupted";
  }

  /** A JSON object of the run's; undefined where it is not there, or is something else. */
  async #document(name: string): Promise<Record<string, unknown> | undefined> {
    try {
      const document: unknown = JSON.parse(await readFile(join(this.directory, name), "utf8"));
      const isObject = typeof document === "object" && document !== null;
      return isObject ? (document as Record<string, unknown>) : undefined;
    } catch {
      return undefined;
    }
  }
}

function wordOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
