/** Where each rollout lies in rollouts.jsonl, and what a list shows of it. The texts stay in the file. */
import { open } from "node:fs/promises";
import type {
  RolloutDetails,
  RolloutList,
  RolloutRecord,
  RolloutRow,
  RolloutSort,
  RolloutTotals,
} from "../api.ts";
import { LineFollower } from "./line-follower.ts";
import { rolloutRow } from "./rollout-row.ts";

/** Which rollouts are wanted, and in what order. */
export interface RolloutQuery {
  readonly sort: RolloutSort;
  readonly order: "asc" | "desc";
  readonly offset: number;
  readonly limit: number;
  readonly success?: boolean | undefined;
  readonly status?: string | undefined;
  readonly step?: number | undefined;
  /** Words of the task or the beginning of the answer. */
  readonly text?: string | undefined;
}

/** An index that grows while the run goes on. */
export class RolloutIndex {
  readonly #path: string;
  readonly #file: LineFollower;
  #rows: RolloutRow[] = [];
  /** Of row [i]: first byte, and bytes. */
  #places: (readonly [offset: number, length: number])[] = [];
  #statuses: Record<string, number> = {};
  #unreadable = 0;

  constructor(path: string) {
    this.#path = path;
    this.#file = new LineFollower(path, {
      onLine: (line, offset) => this.#add(line, offset),
      onLongLine: () => {
        this.#unreadable++;
      },
      onRestart: () => {
        [this.#rows, this.#places, this.#statuses, this.#unreadable] = [[], [], {}, 0];
      },
    });
  }

  /** Reads what is new. Hundreds of megabytes take seconds; what is there by then may be asked for meanwhile. */
  follow(): Promise<void> {
    return this.#file.follow();
  }

  /** Reads it all again at the next {@link follow}. */
  restart(): void {
    this.#file.restart();
  }

  /** The rollouts that a query asks for. */
  list(query: RolloutQuery): RolloutList {
    const found = this.#rows.filter((row) => isMatch(row, query));
    found.sort(orderOf(query));
    const { offset, limit } = query;
    return {
      matches: found.length,
      rows: found.slice(offset, offset + limit),
      totals: this.#totals(),
    };
  }

  /** A rollout with its group; undefined where there is none of this number. */
  async details(number: number): Promise<RolloutDetails | undefined> {
    const row = this.#rows[number];
    const place = this.#places[number];
    if (!row || !place) return undefined;
    const record = await this.#record(...place);
    // a run that was taken back meanwhile has something else there
    if (record?.step !== row.step) return undefined;
    const group = this.#rows.filter(({ step, group }) => step === row.step && group === row.group);
    return { row, record, group, totals: this.#totals() };
  }

  async #record(offset: number, length: number): Promise<RolloutRecord | undefined> {
    const file = await open(this.#path);
    try {
      const line = Buffer.alloc(length);
      await file.read(line, 0, length, offset);
      return recordOf(line);
    } finally {
      await file.close();
    }
  }

  #add(line: Buffer, offset: number): void {
    const record = recordOf(line);
    if (!record) {
      this.#unreadable++;
      return;
    }
    const row = rolloutRow(this.#rows.length, record);
    this.#rows.push(row);
    this.#places.push([offset, line.length]);
    this.#statuses[row.status] = (this.#statuses[row.status] ?? 0) + 1;
  }

  #totals(): RolloutTotals {
    return {
      rollouts: this.#rows.length,
      statuses: this.#statuses,
      firstStep: this.#rows[0]?.step ?? null,
      lastStep: this.#rows.at(-1)?.step ?? null,
      unreadable: this.#unreadable,
      ...this.#file.progress,
    };
  }
}

function recordOf(line: Buffer): RolloutRecord | undefined {
  try {
    const record: unknown = JSON.parse(line.toString("utf8"));
    const isRecord = typeof record === "object" && record !== null && "step" in record;
    return isRecord && typeof record.step === "number" ? (record as RolloutRecord) : undefined;
  } catch {
    return undefined;
  }
}

function isMatch(row: RolloutRow, { success, status, step, text }: RolloutQuery): boolean {
  if (success !== undefined && row.isSuccess !== success) return false;
  if (status !== undefined && row.status !== status) return false;
  if (step !== undefined && row.step !== step) return false;
  if (!text) return true;
  const words = text.toLowerCase();
  return row.task.toLowerCase().includes(words) || row.excerpt.toLowerCase().includes(words);
}

function orderOf({ sort, order }: RolloutQuery): (a: RolloutRow, b: RolloutRow) => number {
  const sign = order === "asc" ? 1 : -1;
  return (a, b) => {
    const [x, y] = [a[sort], b[sort]];
    if (x === y) return a.number - b.number;
    if (x === null) return 1;
    if (y === null) return -1;
    return x < y ? -sign : sign;
  };
}
