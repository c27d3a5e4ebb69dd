/** The folder `runs/<name>` of all runs of a name: which of them is gone on with. */
import { existsSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { listSteps } from "../checkpoint/place.ts";
import { readJsonFile } from "./json-file.ts";
import type { RunRecord } from "./run-directory.ts";

/** The directory of the newest run of a name; undefined where there is none. */
export function newestRun(runs: string, name: string): string | undefined {
  return runsOf(runs, name)[0];
}

/**
 * The directory of a cluster's run whose checkpoints have come furthest, and the newest of equals; undefined where none has any.
 * Nodes may share the folder `runs`.
 */
export async function furthestRun(
  runs: string,
  name: string,
  runId: string,
): Promise<string | undefined> {
  let [furthest, latest]: [string | undefined, number] = [undefined, -1];
  for (const path of runsOf(runs, name)) {
    if ((readJsonFile(join(path, "run.json")) as Partial<RunRecord>).runId !== runId) continue;
    const [step = -1] = await listSteps(join(path, "checkpoints"));
    if (step > latest) [furthest, latest] = [path, step];
  }
  return furthest;
}

/** The newest first. */
function runsOf(runs: string, name: string): string[] {
  const folder = resolve(runs, name);
  if (!existsSync(folder)) return [];
  const found = readdirSync(folder).filter((time) => existsSync(join(folder, time, "run.json")));
  return found
    .sort()
    .reverse()
    .map((time) => join(folder, time));
}
