import { appendFileSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { RolloutDetails, RolloutList, RolloutRow } from "../../../src/dashboard/api.ts";
import { rolloutRow } from "../../../src/dashboard/server/rollout-row.ts";
import type { Listening } from "../../../src/page-server/listening.ts";
import type { RunDirectory } from "../../../src/train/run/run-directory.ts";
import { servedAt, type Workbench, workbench } from "../../support/dashboard.ts";
import { syntheticRun } from "../../support/synthetic-run.ts";

let bench: Workbench;
let dashboard: Listening;
let run: RunDirectory;
let id: string;

beforeAll(async () => {
  bench = workbench();
  dashboard = await servedAt(bench);
  run = await syntheticRun(bench.runs, { name: "many", steps: 20, rolloutsPerStep: 32, seed: 3 });
  id = run.path.split("/").slice(-2).join("/");
});

afterAll(async () => {
  await run.close();
  await dashboard[Symbol.asyncDispose]();
  bench[Symbol.dispose]();
});

async function list(query: string): Promise<RolloutList> {
  for (;;) {
    const answer = await fetch(new URL(`/api/runs/${id}/rollouts?${query}`, dashboard.url));
    expect(answer.status).toBe(200);
    const found = (await answer.json()) as RolloutList;
    const { read, size } = found.totals;
    if (read === size) return found;
  }
}

async function rollout(number: number): Promise<RolloutDetails> {
  const answer = await fetch(new URL(`/api/runs/${id}/rollouts/${number}`, dashboard.url));
  return (await answer.json()) as RolloutDetails;
}

/** All rows, from the file as it lies there. */
function rowsOnDisk(): RolloutRow[] {
  const lines = readFileSync(join(run.path, "rollouts.jsonl"), "utf8").trim().split("\n");
  return lines.map((line, number) => rolloutRow(number, JSON.parse(line)));
}

describe("a list of rollouts", () => {
  it.each(["reward", "surprise", "tokens", "step"] as const)(
    "is sorted by %s both ways",
    async (sort) => {
      const values = rowsOnDisk().map((row) => row[sort] as number);
      for (const [order, sign] of [
        ["asc", 1],
        ["desc", -1],
      ] as const) {
        const { rows, matches } = await list(`sort=${sort}&order=${order}&limit=500`);
        expect(matches).toBe(640);
        const expected = values.toSorted((a, b) => sign * (a - b)).slice(0, 500);
        expect(rows.map((row) => row[sort])).toEqual(expected);
      }
    },
  );

  it("has what the filters let through, page by page", async () => {
    const all = rowsOnDisk();
    const wanted = all.filter((row) => !row.isSuccess && row.status === "completed");
    const query = "success=false&status=completed&limit=50";
    const first = await list(query);
    const second = await list(`${query}&offset=50`);
    expect(first.matches).toBe(wanted.length);
    expect([...first.rows, ...second.rows]).toEqual(wanted.slice(0, 100));
    const text = all[77]?.task ?? "";
    const found = (await list(`text=${encodeURIComponent(text.toUpperCase())}`)).rows;
    expect(found).toEqual(all.filter(({ task, excerpt }) => `${task} ${excerpt}`.includes(text)));
    expect((await list("step=7")).rows).toEqual(all.filter(({ step }) => step === 7));
  });

  it("waits for a torn line, and counts what is no rollout", async () => {
    const file = join(run.path, "rollouts.jsonl");
    const before = (await list("limit=0")).totals;
    const line = '{"step":21,"task":"torn é😀","reward":null,"turns":[]}';
    const bytes = Buffer.from(`${line}\n`);
    // within a character
    const cut = bytes.indexOf(Buffer.from("é")) + 1;
    appendFileSync(file, bytes.subarray(0, cut));
    expect((await list("limit=0")).totals.rollouts).toBe(before.rollouts);
    appendFileSync(file, bytes.subarray(cut));
    const { rows, totals } = await list("step=21");
    expect(rows).toMatchObject([{ task: "torn é😀", reward: null, surprise: null, turns: 0 }]);
    appendFileSync(file, 'null\n[]\n"text"\n{"step":"x"}\n{"step":\n\n{}\n');
    const after = (await list("limit=0")).totals;
    expect(after.rollouts).toBe(totals.rollouts);
    expect(after.unreadable - totals.unreadable).toBe(7);
  });

  it("reads what a run without rollouts has", async () => {
    const none = await syntheticRun(bench.runs, {
      name: "none",
      steps: 0,
      rolloutsPerStep: 8,
      seed: 1,
    });
    const [name, time] = none.path.split("/").slice(-2);
    const answer = await fetch(new URL(`/api/runs/${name}/${time}/rollouts`, dashboard.url));
    expect(await answer.json()).toMatchObject({
      matches: 0,
      totals: { rollouts: 0, firstStep: null },
    });
    await none.close();
  });
});

describe("a rollout", () => {
  it("comes as it was written, with its group", async () => {
    const lines = readFileSync(join(run.path, "rollouts.jsonl"), "utf8").split("\n");
    const { record, row, group } = await rollout(333);
    expect(record).toEqual(JSON.parse(lines[333] as string));
    expect(row.number).toBe(333);
    expect(group.map(({ number }) => number)).toEqual([328, 329, 330, 331, 332, 333, 334, 335]);
  });

  it("may be of megabytes, and hold half a character", async () => {
    const response = `${"x".repeat(3_000_000)}\ud800<script>`;
    run.writeRollouts(22, [{ task: "large", turns: [{ request: 0, response, responseIds: [1] }] }]);
    const { rows } = await list("text=large");
    const { record } = await rollout(rows[0]?.number ?? -1);
    expect(record.turns?.[0]?.response).toBe(response);
    expect(rows[0]?.excerpt).toHaveLength(160);
  });

  it("of a file that was cut meanwhile is not another's", async () => {
    const { size } = statSync(join(run.path, "rollouts.jsonl"));
    const before = (await list("limit=0")).totals.rollouts;
    run.rewind({ ...run.record, step: 10, checkpoint: null });
    expect((await list("limit=0")).totals).toMatchObject({
      rollouts: 320,
      lastStep: 10,
      unreadable: 0,
    });
    expect(before).toBeGreaterThan(640);
    expect(statSync(join(run.path, "rollouts.jsonl")).size).toBeLessThan(size);
    expect(await rollout(before - 1)).toHaveProperty("error");
  });
});

it("surprise is the greatest |advantage| · −log-prob, and nothing where nothing was trained", () => {
  const turn = (advantages: number[] | undefined, rolloutLogprobs: number[]): object => {
    return { rolloutLogprobs, ...(advantages && { advantages }) };
  };
  const of = (...turns: object[]): number | null => rolloutRow(0, { step: 1, turns }).surprise;
  expect(of(turn([1, -2, 0], [-1, -0.75, -9]))).toBe(1.5);
  expect(of(turn([1], [-1]), turn([-3], [-2]))).toBe(6);
  expect(of(turn([0], [-5]))).toBe(0);
  expect(of(turn(undefined, [-5]))).toBeNull();
  expect(of()).toBeNull();
});
