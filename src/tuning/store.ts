/**
 * Tuning tables of the engine, kept in the user's cache: one JSON file for each adapter.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Device, TuningReport } from "../../engine/index.ts";
import { cacheFolder } from "../setup/paths.mjs";

/** A table that has been saved. */
export interface SavedTuning extends Pick<TuningReport, "choices" | "verified" | "rejected"> {
  readonly file: string;
  /** The adapter, its driver and features. */
  readonly adapter: string;
  /** Hash of the shaders that the table was made with. */
  readonly shaders: string;
  /** Whether the adapter uses this table as it is and times nothing. */
  readonly isFrozen: boolean;
}

function folder(): string {
  return join(cacheFolder(), "tuning");
}

function fileOf(adapter: string): string {
  const hash = createHash("sha256").update(adapter).digest("hex").slice(0, 16);
  return join(folder(), `${hash}.json`);
}

/**
 * Gives a device the table that was saved for its adapter, and saves the table whenever it changes.
 *
 * Returns why the saved table is not in force (`tuning.report().ignored`), or undefined.
 */
export function keepTuning({ tuning }: Pick<Device, "tuning">): string | undefined {
  const file = fileOf(tuning.scope.adapter);
  const text = read(file);
  tuning.onChange = () => {
    try {
      write(file, tuning.export());
    } catch (cause) {
      tuning.onChange = undefined;
      process.emitWarning(`the tuning table cannot be saved: ${(cause as Error).message}`);
    }
  };
  return text === undefined ? undefined : tuning.import(text);
}

/** All saved tables that can be read. */
export function savedTunings(): readonly SavedTuning[] {
  return tables().flatMap((file) => {
    try {
      return [{ file, ...(JSON.parse(read(file) ?? "") as Omit<SavedTuning, "file">) }];
    } catch {
      return []; // torn or foreign: a device would ignore it too
    }
  });
}

/** Deletes all saved tables; returns how many there were. */
export function clearTunings(): number {
  const files = tables();
  for (const file of files) rmSync(file, { force: true });
  return files.length;
}

/** Freezes all saved tables, or lets them be tuned again; returns those that there are. */
export function freezeTunings(isFrozen: boolean): readonly SavedTuning[] {
  for (const { file, ...table } of savedTunings()) {
    write(file, `${JSON.stringify({ ...table, isFrozen }, null, 2)}\n`);
  }
  return savedTunings();
}

function tables(): string[] {
  try {
    return readdirSync(folder())
      .filter((name) => name.endsWith(".json"))
      .sort()
      .map((name) => join(folder(), name));
  } catch {
    return []; // nothing has been saved yet
  }
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined; // nothing has been saved yet
  }
}

/** Readers and other writers see the old file or the new one, never a part. */
function write(file: string, text: string): void {
  mkdirSync(folder(), { recursive: true });
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, text);
  renameSync(draft, file);
}
