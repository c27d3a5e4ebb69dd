/**
 * Histories of faults, each from its seed. `FORGE_SOAK_SEEDS=1000000:50000` lives through those from the first on, so many of them:
 * several processes share the work. One that fails says how it is lived through again: `npx tsx test/support/cluster/replay.ts SEED`.
 */
import { expect, it } from "vitest";
import { FAULT_NAMES, PACKET_FAULT_NAMES, PHASES } from "../support/cluster/faults.ts";
import { type Outcomes, runSchedules } from "../support/cluster/schedule.ts";

const [FROM = 0, COUNT = 0] = (process.env["FORGE_SOAK_SEEDS"] ?? "1000000:100000")
  .split(":")
  .map(Number);
/** Schedules between two looks at the world outside: a test that never looks up counts as dead. */
const TURN = 500;
/** Hops of rings of up to five. */
const HOPS = [0, 1, 2, 3];

const phases = [
  ...PHASES.membership,
  ...PHASES.ring.flatMap((half) => HOPS.map((hop) => `${half} ${hop}`)),
  ...PHASES.state,
];

it(`a cluster lives through ${COUNT} histories of faults`, { timeout: 4 * 3_600_000 }, async () => {
  const sum: Outcomes = { faults: new Map(), viable: 0, stuck: [] };
  for (let done = 0; done < COUNT; done += TURN) {
    runSchedules(FROM + done, Math.min(TURN, COUNT - done), sum);
    if (done % 5_000 === 0) process.stderr.write(`schedules: ${done}, stuck: ${sum.stuck}\n`);
    await new Promise((resolve) => setImmediate(resolve));
  }
  process.stderr.write(`schedules: ${COUNT} from ${FROM}, ${sum.viable} viable\n`);
  process.stderr.write(`${JSON.stringify(Object.fromEntries([...sum.faults].sort()))}\n`);
  expect(sum.stuck).toEqual([]);
  expect(sum.viable).toBeGreaterThan(0.95 * COUNT);
  const often = (name: string): number => sum.faults.get(name) ?? 0;
  for (const name of FAULT_NAMES) expect(often(name), name).toBeGreaterThan(COUNT / 20);
  for (const name of PACKET_FAULT_NAMES)
    for (const phase of phases) {
      const what = `${name} at ${phase}`;
      expect(often(what), what).toBeGreaterThan(COUNT / 5_000);
    }
});
