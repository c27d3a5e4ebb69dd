import {
  appendFileSync,
  mkdtempSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { LineFollower } from "../../../src/dashboard/server/line-follower.ts";
import { RolloutIndex } from "../../../src/dashboard/server/rollout-index.ts";

const folder = mkdtempSync(join(tmpdir(), "forge-gpu-follower-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** A follower of a file of its own, and what it has said. */
function following(name: string) {
  const path = join(folder, name);
  const lines: [line: string, offset: number][] = [];
  let restarts = 0;
  const follower = new LineFollower(path, {
    onLine: (line, offset) => lines.push([line.toString(), offset]),
    onLongLine: () => {},
    onRestart: () => {
      lines.length = 0;
      restarts++;
    },
  });
  return { path, lines, follower, restarts: () => restarts };
}

it("tells lines as they are whole, and where they begin", async () => {
  const { path, lines, follower } = following("whole");
  await follower.follow();
  expect(lines).toEqual([]);
  for (const piece of ["a", "é\nbb\nc", "c", "\n\n"]) {
    appendFileSync(path, piece);
    await follower.follow();
  }
  expect(lines).toEqual([
    ["aé", 0],
    ["bb", 4],
    ["cc", 7],
    ["", 10],
  ]);
});

it("begins anew where a file was cut, or another has its name", async () => {
  const { path, lines, follower, restarts } = following("cut");
  writeFileSync(path, "one\ntwo\nthr");
  await follower.follow();
  truncateSync(path, 4);
  await follower.follow();
  expect([lines, restarts()]).toEqual([[["one", 0]], 1]);
  writeFileSync(`${path}.new`, "other\nlines\n");
  renameSync(`${path}.new`, path);
  await follower.follow();
  expect([lines.map(([line]) => line), restarts()]).toEqual([["other", "lines"], 2]);
});

it("gives no rollout that another has taken the place of", async () => {
  const path = join(folder, "rollouts.jsonl");
  const line = (step: number): string => `${JSON.stringify({ step, turns: [] })}\n`;
  writeFileSync(path, line(1) + line(2));
  const index = new RolloutIndex(path);
  await index.follow();
  expect((await index.details(1))?.record.step).toBe(2);
  // as long as before, so that nobody has noticed yet
  writeFileSync(path, line(1) + line(3));
  expect(await index.details(1)).toBeUndefined();
});
