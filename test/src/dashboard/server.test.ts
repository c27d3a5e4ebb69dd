import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { MetricRows, RunDetails, RunList, RunNews } from "../../../src/dashboard/api.ts";
import { serveDashboard } from "../../../src/dashboard/server/serve.ts";
import type { Listening } from "../../../src/page-server/listening.ts";
import { RunDirectory } from "../../../src/train/run/run-directory.ts";
import { forgeGpu } from "../../support/command.ts";
import { rawRequest, servedAt, type Workbench, workbench } from "../../support/dashboard.ts";
import { rejectionOf } from "../../support/errors.ts";
import { syntheticRun } from "../../support/synthetic-run.ts";

let bench: Workbench;
let dashboard: Listening;

beforeAll(async () => {
  bench = workbench();
  dashboard = await servedAt(bench);
});

afterAll(async () => {
  await dashboard[Symbol.asyncDispose]();
  bench[Symbol.dispose]();
});

async function ask<T>(path: string): Promise<T> {
  const answer = await fetch(new URL(path, dashboard.url));
  expect(answer.status).toBe(200);
  return (await answer.json()) as T;
}

/** A run of three steps, with its id. */
async function smallRun(name: string): Promise<{ run: RunDirectory; id: string }> {
  const run = await syntheticRun(bench.runs, { name, steps: 3, rolloutsPerStep: 8, seed: 1 });
  return { run, id: run.path.split("/").slice(-2).join("/") };
}

const stateOf = async (id: string): Promise<string> =>
  (await ask<RunDetails>(`/api/runs/${id}`)).head.state;

describe("runs", () => {
  it("are listed newest first, with what they came to", async () => {
    const { run, id } = await smallRun("first");
    run.writeSummary({ ended: "done", endedAt: new Date().toISOString() });
    await run.close();
    const later = await smallRun("second");
    const { runs } = await ask<RunList>("/api/runs");
    const own = runs.filter((head) => head.id === id || head.id === later.id);
    expect(own.map((head) => [head.name, head.state])).toEqual([
      ["second", "live"],
      ["first", "done"],
    ]);
    expect(own[1]).toMatchObject({ steps: 3, plannedSteps: 3, method: "rl" });
    expect(own[1]?.evaluation).toEqual({ metric: "eval/pass_at_1", before: 0.31, after: null });
    expect(own[1]?.curve).toMatchObject({ metric: "reward/mean", values: { length: 3 } });
    await later.run.close();
  });

  it("are live, failed, interrupted or done", async () => {
    const { run, id } = await smallRun("states");
    const end = (ended: string): void =>
      run.writeSummary({ ended, endedAt: new Date().toISOString() });
    expect(await stateOf(id)).toBe("live");
    await run.close();
    expect(await stateOf(id)).toBe("failed");
    for (const ended of ["interrupted", "time"]) {
      end(ended);
      expect(await stateOf(id)).toBe("interrupted");
    }
    end("done");
    expect(await stateOf(id)).toBe("done");
    // what it came to the first time says nothing of the second
    const again = RunDirectory.open(run.path);
    again.rewind({ ...run.record, step: 1, checkpoint: null });
    await again.close();
    expect(await stateOf(id)).toBe("failed");
  });

  it("may have a damaged run.json", async () => {
    const { run, id } = await smallRun("damaged");
    await run.close();
    appendFileSync(join(run.path, "run.json"), "}");
    expect((await ask<RunDetails>(`/api/runs/${id}`)).head.steps).toBe(3);
  });
});

describe("metrics", () => {
  it("are columns, of which a reader gets what is new", async () => {
    const { run, id } = await smallRun("columns");
    const path = `/api/runs/${id}/metrics`;
    const all = await ask<MetricRows>(path);
    expect(all.steps).toEqual([0, 1, 2, 3]);
    expect(all.columns["rollout/groups"]).toEqual([null, 1, 1, 1]);
    expect(all.words["reward/mean"]?.meaning).toContain("mean reward");
    await run.writeMetrics(4, { "reward/mean": Number.NaN, "custom/late": 5 });
    const news = await ask<MetricRows>(`${path}?from=4&generation=${all.generation}`);
    expect(news).toMatchObject({ from: 4, steps: [4], generation: all.generation });
    expect(news.columns).toMatchObject({ "reward/mean": [null], "custom/late": [5] });
    expect(news.warnings.map(({ step, code }) => [step, code])).toContainEqual([4, "non_finite"]);
    expect((await ask<MetricRows>(path)).columns["custom/late"]).toEqual([
      null,
      null,
      null,
      null,
      5,
    ]);
    await run.close();
  });

  it("of a run that goes on are those of its second time", async () => {
    const { run, id } = await smallRun("resumed");
    const before = await ask<MetricRows>(`/api/runs/${id}/metrics`);
    await run.close();
    const again = RunDirectory.open(run.path);
    again.rewind({ ...run.record, step: 1, checkpoint: null });
    // as long as before: its size alone would not tell
    for (const step of [2, 3, 4]) await again.writeMetrics(step, { "reward/mean": 9 });
    const query = `?from=${before.steps.length}&generation=${before.generation}`;
    const after = await ask<MetricRows>(`/api/runs/${id}/metrics${query}`);
    expect(after).toMatchObject({ from: 0, steps: [0, 1, 2, 3, 4] });
    expect(after.columns["reward/mean"]?.slice(2)).toEqual([9, 9, 9]);
    await again.close();
  });
});

it("tells of runs that change, and of no others", async () => {
  const { run, id } = await smallRun("news");
  const leave = new AbortController();
  const { body } = await fetch(new URL("/api/events", dashboard.url), { signal: leave.signal });
  const reader = body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  const newsOf = async (rows: number): Promise<readonly RunNews[]> => {
    for (;;) {
      const events = [...text.matchAll(/event: runs\ndata: (.*)\n\n/g)];
      const lists = events.map(([, data]) => JSON.parse(data as string) as RunNews[]);
      const found = lists.find((news) =>
        news.some((each) => each.id === id && each.version.rows === rows),
      );
      if (found) return found;
      text += (await reader?.read())?.value ?? "";
    }
  };
  await newsOf(4);
  await run.writeMetrics(4, { "reward/mean": 1 });
  expect((await newsOf(5)).map((each) => each.id)).toEqual([id]);
  leave.abort();
  await run.close();
});

describe("a stranger", () => {
  it.each(["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example"])(
    "under the name %j is refused",
    async (host) => {
      const { status, headers } = await rawRequest(dashboard.url, "/api/runs", {
        headers: { host },
      });
      expect(status).toBe(403);
      expect(headers["content-security-policy"]).toContain("default-src 'self'");
    },
  );

  it("is not who asks by a name of the loopback", async () => {
    const { port } = new URL(dashboard.url);
    for (const host of [`localhost:${port}`, `127.0.0.1:${port}`, `[::1]:${port}`, "LOCALHOST"])
      expect((await rawRequest(dashboard.url, "/", { headers: { host } })).status).toBe(200);
  });

  it.each(["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])("cannot %s", async (method) => {
    expect((await rawRequest(dashboard.url, "/api/runs", { method })).status).toBe(405);
  });

  it.each([
    "/../package.json",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/..%2f..%2fetc%2fpasswd",
    "/index.html/../run.json",
    "/runs",
    "/api/runs/..%2f../metrics",
    "/api/runs/../../metrics",
    "/api/runs/%2e%2e/%2e%2e/rollouts",
    "/api/runs/__proto__/constructor",
  ])("finds nothing at %s", async (path) => {
    const { status, body } = await rawRequest(dashboard.url, path);
    expect(status).toBe(404);
    expect(body).not.toMatch(/root:|forge-gpu/);
  });
});

it("says what is wrong with a question", async () => {
  const { run, id } = await smallRun("questions");
  await run.close();
  for (const query of ["sort=__proto__", "limit=1e9", "offset=-1", "success=maybe", "other=1"]) {
    const answer = await fetch(new URL(`/api/runs/${id}/rollouts?${query}`, dashboard.url));
    expect([query, answer.status]).toEqual([query, 400]);
    expect(((await answer.json()) as { error: string }).error).not.toBe("");
  }
  expect((await fetch(new URL(`/api/runs/${id}/rollouts/99`, dashboard.url))).status).toBe(404);
});

it("sends the page once, and the data anew each time", async () => {
  const page = await fetch(dashboard.url);
  const tag = page.headers.get("etag") ?? "";
  expect(page.headers.get("content-type")).toContain("text/html");
  const again = await fetch(dashboard.url, { headers: { "If-None-Match": tag } });
  expect([again.status, await again.text()]).toEqual([304, ""]);
  const data = await fetch(new URL("/api/runs", dashboard.url));
  expect(data.headers.get("cache-control")).toBe("no-store");
});

it("says when a port is taken, a page not built, or a folder not there", async () => {
  const port = Number(new URL(dashboard.url).port);
  const options = { places: [], host: "127.0.0.1", page: bench.page };
  expect(await rejectionOf(serveDashboard({ ...options, port }))).toBe("argument_invalid");
  const unbuilt = { ...options, page: bench.runs, port: 0 };
  expect(await rejectionOf(serveDashboard(unbuilt))).toBe("file_invalid");
  const { code, stderr } = await forgeGpu(["dashboard", join(bench.runs, "nowhere")]);
  expect([code, stderr.includes("run_not_found")]).toEqual([1, true]);
});
