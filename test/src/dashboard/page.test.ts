import type { Browser, Page } from "playwright";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { RolloutDetails, RolloutList } from "../../../src/dashboard/api.ts";
import type { Listening } from "../../../src/page-server/listening.ts";
import type { RunDirectory } from "../../../src/train/run/run-directory.ts";
import { type BuiltPage, builtPage, complaintsOf, openBrowser } from "../../support/built-page.ts";
import { servedAt, type Workbench, workbench } from "../../support/dashboard.ts";
import { syntheticRun } from "../../support/synthetic-run.ts";

/** What a model might write at whoever reads it. */
const HOSTILE = `<script>window.broken = 1</script><img src=x onerror="window.broken = 2">&lt;b&gt;</pre>
\u202Eright to left\u202C \u0000\u001B[31m zero\u200Bwidth \uD800 half`;

const TOKEN = ".token >> nth=2";

let bench: Workbench;
let built: BuiltPage;
let dashboard: Listening;
let browser: Browser;
let page: Page;
let complaints: string[];
/** A run with 10,240 rollouts, a live one of a few steps, and one whose model is hostile. */
let large: string;
let live: RunDirectory;
let hostile: string;

const idOf = (run: RunDirectory): string => run.path.split("/").slice(-2).join("/");

beforeAll(async () => {
  bench = workbench();
  const writing = (async () => {
    const many = { name: "large", steps: 160, rolloutsPerStep: 64, seed: 1 };
    const run = await syntheticRun(bench.runs, many);
    run.writeSummary({ ended: "done", endedAt: new Date().toISOString() });
    large = idOf(run);
    await run.close();
    const few = { name: "hostile", steps: 1, rolloutsPerStep: 8, seed: 2, lr: 1e-5 };
    const bad = await syntheticRun(bench.runs, few);
    bad.writeRollouts(2, [hostileRollout()]);
    hostile = idOf(bad);
    await bad.close();
    live = await syntheticRun(bench.runs, { name: "live", steps: 3, rolloutsPerStep: 8, seed: 3 });
  })();
  [built, browser] = await Promise.all([builtPage("src/dashboard/page"), openBrowser(), writing]);
  dashboard = await servedAt({ runs: bench.runs, page: built.folder });
});

afterAll(async () => {
  await browser?.close();
  await live?.close();
  await dashboard?.[Symbol.asyncDispose]();
  built?.[Symbol.dispose]();
  bench[Symbol.dispose]();
});

beforeEach(async () => {
  page = await browser.newPage({ viewport: { width: 1200, height: 800 } });
  page.setDefaultTimeout(20_000);
  complaints = complaintsOf(page, dashboard.url);
});

// whatever a test looks at: nothing fails, nothing is inline, nothing comes from elsewhere
afterEach(async () => {
  await page.close();
  expect(complaints).toEqual([]);
});

function hostileRollout(): object {
  const tokens = HOSTILE.split(/(?<=>)/);
  const numbers = tokens.map(() => -1);
  return {
    ...{
      group: 9,
      session: "h",
      task: HOSTILE,
      status: HOSTILE,
      takesPart: true,
      isSuccess: false,
    },
    ...{ reward: 0, components: { [HOSTILE]: 1 } },
    toolCalls: [
      {
        requestIndex: 0,
        role: HOSTILE,
        name: HOSTILE,
        input: { [HOSTILE]: HOSTILE },
        status: HOSTILE,
        content: HOSTILE,
      },
    ],
    turns: [
      {
        ...{
          request: 0,
          role: HOSTILE,
          parent: null,
          policyVersions: [0, 0],
          finishReason: HOSTILE,
        },
        ...{ prompt: HOSTILE, response: HOSTILE, promptIds: [1], responseTokens: tokens },
        ...{ responseIds: numbers.map((_, i) => i), rolloutLogprobs: numbers, advantages: numbers },
      },
    ],
  };
}

const go = (path: string): Promise<unknown> => page.goto(`${dashboard.url}#/${path}`);

const cells = (column: string): Promise<string[]> =>
  page.locator(`.rollouts tbody .column-${column}`).allTextContents();

const numberOf = (text: string): number => Number(text.replace("−", "-").replaceAll("\u202f", ""));

describe("the list of runs", () => {
  it("has the newest first, and compares those that are chosen", async () => {
    await go("");
    await page.waitForSelector(".run >> nth=2");
    expect(await page.locator(".run-name a").allTextContents()).toEqual([
      "live",
      "hostile",
      "large",
    ]);
    expect(await page.locator(".run .state").allTextContents()).toEqual(["live", "failed", "done"]);
    expect(await page.locator(".run >> nth=2").textContent()).toMatch(/160 of 160.*31 % → 9\d %/);
    expect(await page.locator(".sparkline polyline").count()).toBe(3);
    await page.getByLabel("Compare live").check();
    await page.getByLabel(/Compare hostile/).check();
    await page.getByText("Compare 2 runs").click();
    await page.waitForSelector(".keys tbody tr");
    const different = await page.locator(".keys tbody th").allTextContents();
    expect(different).toEqual(["name", "seed", "train.steps", "optimizer.lr"]);
    const legend = page.locator(".chart >> nth=0 >> .legend-label");
    await expect.poll(() => legend.allTextContents()).toEqual(["live", "hostile"]);
  });
});

describe("a run", () => {
  it("shows its curves, with words and the values under the pointer", async () => {
    await go(`runs/${large}`);
    await page.waitForSelector(".chart canvas");
    const reward = page.locator(".chart", {
      has: page.getByRole("heading", { name: "Reward", exact: true }),
    });
    expect(await reward.textContent()).toContain("mean reward of the episodes trained on");
    expect(await page.locator(".warnings").textContent()).toContain("nothing to learn from");
    await reward.locator(".u-over").hover();
    await expect.poll(() => reward.locator("figcaption").textContent()).toMatch(/step (79|80|81)$/);
    const at = Number(await reward.locator("output >> nth=0").textContent());
    expect(at).toBeGreaterThan(0.7);
    expect(at).toBeLessThan(0.95);
    const drawn = (): Promise<string> =>
      page
        .locator("canvas >> nth=0")
        .evaluate((canvas) => (canvas as unknown as { toDataURL(): string }).toDataURL());
    const plain = await drawn();
    await page.getByLabel("Smoothing").fill("0.9");
    await expect.poll(drawn).not.toBe(plain);
    const smooth = await drawn();
    await page.getByLabel("Log scale").check();
    await expect.poll(drawn).not.toBe(smooth);
  });

  it("is followed while it goes on", async () => {
    await go(`runs/${idOf(live)}`);
    const steps = page.locator(".figure", { hasText: "Steps" });
    await expect.poll(() => steps.textContent()).toContain("3 of 3");
    await live.writeMetrics(4, { "reward/mean": 0.125, "custom/mine": 7 });
    live.writeRollouts(4, [{ task: "the newest", turns: [] }]);
    await expect.poll(() => steps.textContent(), { timeout: 15_000 }).toContain("4 of 3");
    await expect.poll(() => page.locator(".legend").allTextContents()).toContainEqual("mine7");
    await page.getByRole("link", { name: "rollouts", exact: true }).click();
    await expect.poll(() => cells("task")).toContain("the newest");
  });

  it("says what it was told", async () => {
    await go(`runs/${large}/configuration`);
    await page.getByPlaceholder("Find a key or a value").fill("optimizer");
    const keys = page.locator(".keys tbody th");
    await expect
      .poll(() => keys.allTextContents())
      .toEqual(["optimizer.lr", "optimizer.maxGradNorm"]);
  });
});

describe("among 10,240 rollouts", () => {
  it.each([
    ["Best", "reward", -1],
    ["Worst", "reward", 1],
    ["Most surprising", "surprise", -1],
  ] as const)("the %s is two clicks away", async (label, column, sign) => {
    const answer = await fetch(new URL(`/api/runs/${large}/rollouts?limit=1`, dashboard.url));
    expect(((await answer.json()) as RolloutList).rows).toHaveLength(1);
    await go(`runs/${large}`);
    await page.getByRole("link", { name: label, exact: true }).click();
    await expect.poll(() => page.locator(".pages >> nth=0").textContent()).toContain("10\u202f240");
    const values = (await cells(column)).map(numberOf);
    expect(values).toHaveLength(100);
    expect(values).toEqual(values.toSorted((a, b) => sign * (a - b)));
    const [first] = await cells(column);
    await page.locator(".rollouts tbody tr >> nth=0").click();
    const figure = column === "reward" ? "Reward" : "Surprise";
    await expect
      .poll(() => page.locator(".figure", { hasText: figure }).locator("dd").textContent())
      .toBe(first);
    expect(await page.locator(".group a").count()).toBe(8);
  });

  it("filters, pages and arrow keys find any", async () => {
    await go(`runs/${large}/rollouts`);
    await page.getByRole("link", { name: "Last" }).first().click();
    await expect
      .poll(() => page.locator(".pages >> nth=0").textContent())
      .toContain("10\u202f201–10\u202f240");
    await page.locator("label", { hasText: "Solved" }).locator("select").selectOption("false");
    await page.getByLabel("Step").fill("80");
    await expect.poll(async () => new Set(await cells("step"))).toEqual(new Set(["80"]));
    expect(await page.locator(".rollouts .good").count()).toBe(0);
    await page.locator(".rollouts tbody a >> nth=0").focus();
    await page.keyboard.press("ArrowDown");
    const second = await page.locator(".rollouts tbody a >> nth=1").textContent();
    await page.keyboard.press("Enter");
    await expect.poll(() => page.locator("h1").textContent()).toBe(second);
    // the way back leads to the list as it was
    await page.locator(".crumbs").getByText("Rollouts").click();
    await expect.poll(async () => new Set(await cells("step"))).toEqual(new Set(["80"]));
  });
});

describe("a rollout", () => {
  it("has a colour for each token and each figure, and a card that says them", async () => {
    const answer = await fetch(new URL(`/api/runs/${large}/rollouts/4242`, dashboard.url));
    const turn = ((await answer.json()) as RolloutDetails).record.turns?.[0];
    await go(`runs/${large}/rollouts/4242`);
    await page.waitForSelector(TOKEN);
    const first = page.locator(".tokens >> nth=0");
    expect(await first.locator(".token").allTextContents()).toEqual(turn?.responseTokens);
    const colours = new Set<string>();
    for (const label of ["Log-prob", "Entropy", "Advantage", "Mask"]) {
      await page.locator(".choice", { hasText: label }).click();
      const styles = await first
        .locator(".token")
        .evaluateAll((tokens) =>
          tokens.map(
            (token) =>
              (token as unknown as { style: { backgroundColor: string } }).style.backgroundColor,
          ),
        );
      expect(styles.every((style) => style !== "")).toBe(true);
      if (label !== "Mask") expect(new Set(styles).size).toBeGreaterThan(2);
      colours.add(styles.join());
      expect(await page.locator(".scale li").count()).toBe(3);
    }
    expect(colours.size).toBe(4);
    await page.locator(TOKEN).hover();
    const card = page.locator(".card");
    expect(await card.textContent()).toContain(JSON.stringify(turn?.responseTokens?.[2]));
    for (const value of [turn?.rolloutLogprobs?.[2], turn?.entropies?.[2], turn?.advantages?.[2]])
      expect(await card.textContent()).toContain(value?.toFixed(4).replace("-", "−"));
    await page.mouse.move(0, 0);
    await first.focus();
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowRight");
    expect(await card.textContent()).toContain(`2 of ${turn?.responseIds?.length}`);
  });

  it("shows the calls of tools, and of a later prompt what is new", async () => {
    await go(`runs/${large}/rollouts/4242`);
    await page.waitForSelector(".turn >> nth=1");
    expect(await page.locator(".calls >> nth=0").textContent()).toMatch(/calculator.*expression/s);
    const prompts = await page.locator(".turn .prompt").allTextContents();
    expect(prompts[1]).toMatch(/^<tool>.*<assistant>$/);
    await page.getByText("Goes on from before").click();
    expect(await page.locator(".turn >> nth=1 >> .prompt").textContent()).toMatch(/^<user>/);
  });

  it("shows what a model wrote as text, whatever it is", async () => {
    await go(`runs/${hostile}/rollouts?text=${encodeURIComponent("<script>")}`);
    await page.locator(".rollouts tbody a").click();
    await page.waitForSelector(TOKEN);
    const text = (await page.locator(".turn .prompt").textContent()) ?? "";
    expect(text).toContain(
      '<script>window.broken = 1</script><img src=x onerror="window.broken = 2">&lt;b&gt;</pre>',
    );
    for (const name of ["U+202E", "U+202C", "NUL", "ESC", "U+200B", "U+D800"])
      expect(text).toContain(name);
    const whole = await page.content();
    for (const character of ["\u202E", "\u202C", "\u0000", "\u001B", "\u200B"])
      expect(whole.includes(character)).toBe(false);
    const shape = "[String(window.broken), document.images.length, document.scripts.length]";
    expect(await page.evaluate(shape)).toEqual(["undefined", 0, 1]);
  });
});

it("fits into 400 pixels, in the light and in the dark", async () => {
  await page.setViewportSize({ width: 400, height: 800 });
  const views = [
    "",
    `runs/${large}`,
    `runs/${large}/rollouts`,
    `runs/${large}/rollouts/4242`,
    `runs/${large}/configuration`,
    `runs/${hostile}/rollouts/8`,
    `compare?run=${large}&run=${hostile}`,
  ];
  const backgrounds = new Set<string>();
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    for (const view of views) {
      await go(view);
      await page.waitForSelector("h1");
      await page.waitForSelector(".run, .chart, .rollouts, .turn, .keys");
      expect([view, await page.evaluate("document.documentElement.scrollWidth")]).toEqual([
        view,
        400,
      ]);
    }
    backgrounds.add(String(await page.evaluate("getComputedStyle(document.body).backgroundColor")));
  }
  expect(backgrounds.size).toBe(2);
});
