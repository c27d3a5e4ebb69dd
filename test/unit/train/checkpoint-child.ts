/** What the faults of checkpoints are tried on: a process of its own, run by checkpoint-faults.test.ts as a bundle. */
import { execFileSync } from "node:child_process";
import { ForgeError } from "../../../engine/error.ts";
import { saveOffendingBatch } from "../../../src/train/checkpoint/failure.ts";
import { pruneCheckpoints, recordBest } from "../../../src/train/checkpoint/keep.ts";
import { latestCheckpoint } from "../../../src/train/checkpoint/read.ts";
import { writeCheckpoint } from "../../../src/train/checkpoint/write.ts";
import { contentsOf } from "../../support/checkpoint-contents.ts";

const [role, directory] = process.argv.slice(2) as [string, string];

/** What the first error says, or "done". */
async function outcome(work: () => unknown): Promise<string> {
  try {
    await work();
    return "done";
  } catch (error) {
    return error instanceof ForgeError ? error.code : `no ForgeError: ${error}`;
  }
}

function say(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

const ROLES: Readonly<Record<string, () => Promise<void>>> = {
  /** Writes checkpoint after checkpoint from the newest on, whose step it writes again, and prunes; until it is killed. */
  async forever() {
    await using latest = await latestCheckpoint(directory);
    for (let step = latest?.step ?? 1; ; step++) {
      await writeCheckpoint(directory, step, contentsOf(step));
      say(step);
      if (step % 3 === 0) recordBest(directory, { step, score: step });
      await pruneCheckpoints(directory, { keep: 2 });
    }
  },

  /** Writes twenty checkpoints beside another process that writes the same ones, replacing its. */
  async together() {
    for (let step = 1; step <= 20; step++) {
      await writeCheckpoint(directory, 1 + (step % 4), contentsOf(1 + (step % 4)));
      say(step);
    }
  },

  /** Writes until the disk is full, then on a disk that can only be read. In a mount namespace of its own. */
  async mounted() {
    const mount = (options: string): void => {
      execFileSync("mount", ["-t", "tmpfs", "-o", options, "tmpfs", directory]);
    };
    mount("size=1m");
    const size = 20_000; // 160 kB each
    let [step, code] = [0, "done"];
    while (code === "done") {
      step++;
      code = await outcome(() => writeCheckpoint(directory, step, contentsOf(step, size)));
    }
    await using latest = await latestCheckpoint(directory);
    const batch = { metrics: {}, samples: [{ responseIds: new Int32Array(2 ** 20), reward: 0 }] };
    const failure = await outcome(() => saveOffendingBatch(directory, 1, batch));
    const { readdirSync, rmSync } = await import("node:fs");
    const names = readdirSync(directory);
    rmSync(`${directory}/step-000001`, { recursive: true });
    const after = await outcome(() => writeCheckpoint(directory, step, contentsOf(step, size)));
    execFileSync("mount", ["-o", "remount,ro", directory]);
    const readOnly = [
      await outcome(() => writeCheckpoint(directory, 99, contentsOf(99))),
      await outcome(() => pruneCheckpoints(directory, { keep: 1 })),
      await outcome(() => recordBest(directory, { step: 1, score: 1 })),
      await outcome(() => saveOffendingBatch(directory, 1, { metrics: {}, samples: [] })),
    ];
    await using still = await latestCheckpoint(directory);
    say({ step, code, latest: latest?.step, failure, names, after, readOnly, still: still?.step });
  },
};

await ROLES[role]?.();
