/** The runs below some folders. */
import { existsSync, readdirSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import type { RunHead, RunNews } from "../api.ts";
import { RunReader } from "./run-reader.ts";

/** Folders between a place and its runs: `runs/<name>/<time>`. */
const DEPTH = 2;

/** See the file's head. New runs are found as they begin; an id is looked up here, and is never a path. */
export class RunLibrary {
  /** Absolute. */
  readonly places: readonly string[];
  readonly #runs = new Map<string, RunReader>();
  readonly #ids = new Map<string, string>();
  #refreshing: Promise<void> | undefined;

  constructor(places: readonly string[]) {
    this.places = places.map((place) => resolve(place));
  }

  /** Looks for runs, and reads what is new of all. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  /** Newest first. */
  heads(): RunHead[] {
    const heads = [...this.#runs.values()].map(({ head }) => head);
    return heads.sort((a, b) => (a.startedAt < b.startedAt ? 1 : -1));
  }

  /** The run of an id. */
  run(id: string): RunReader | undefined {
    return this.#runs.get(id);
  }

  /** What may have changed of each run. */
  news(): RunNews[] {
    return [...this.#runs.values()].map(({ id, state, version }) => ({ id, state, version }));
  }

  async #refresh(): Promise<void> {
    const found = new Set(this.places.flatMap((place) => runsBelow(place, DEPTH)));
    for (const [directory, id] of this.#ids) {
      if (found.has(directory)) continue;
      this.#ids.delete(directory);
      this.#runs.delete(id);
    }
    for (const directory of found) {
      if (this.#ids.has(directory)) continue;
      const id = this.#freeId(directory);
      this.#ids.set(directory, id);
      this.#runs.set(id, new RunReader(id, directory));
    }
    for (const run of this.#runs.values()) await run.refresh();
  }

  /** Two places may hold runs of one name and time. */
  #freeId(directory: string): string {
    const id = `${basename(dirname(directory))}/${basename(directory)}`;
    let free = id;
    for (let n = 2; this.#runs.has(free); n++) free = `${id}_${n}`;
    return free;
  }
}

function runsBelow(folder: string, depth: number): string[] {
  if (existsSync(join(folder, "run.json"))) return [folder];
  if (depth === 0) return [];
  try {
    return readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory() && !entry.name.startsWith(".")
        ? runsBelow(join(folder, entry.name), depth - 1)
        : [],
    );
  } catch {
    return []; // not there yet, or somebody else's
  }
}
