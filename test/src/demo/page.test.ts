import { readFileSync } from "node:fs";
import { Hono } from "hono";
import type { Browser, Download, Locator, Page } from "playwright";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { bytesSource, readSafetensorsHeader } from "../../../engine/index.ts";
import { guard } from "../../../src/page-server/guard.ts";
import { type Listening, listening } from "../../../src/page-server/listening.ts";
import { addPage } from "../../../src/page-server/page-files.ts";
import { type BuiltPage, builtPage, complaintsOf, openBrowser } from "../../support/built-page.ts";

/** The calculator agent in small: two steps of a warm start, and three of practice. */
const SMALL = [
  ...["train.warmStart.steps=2", "train.warmStart.batch=4", "train.steps=3", "eval.every=1"],
  ...["rollout.groupSize=2", "rollout.groupsPerStep=2", "rollout.slots=2", "rollout.batch=8"],
  ...["eval.tasks=2", "eval.samples=1", "optimizer.warmupSteps=1"],
];

/** Kernels are compiled when they are first used: seconds, and more on a machine that has other things to do. */
const PATIENCE_MS = 200_000;

let built: BuiltPage;
let server: Listening;
let browser: Browser;
let page: Page;
let complaints: string[];

beforeAll(async () => {
  [built, browser] = await Promise.all([
    builtPage("examples/browser", "demo"),
    openBrowser(["--enable-unsafe-webgpu"]),
  ]);
  const app = new Hono();
  app.use(guard("127.0.0.1"));
  addPage(app, built.folder);
  server = await listening(app, { port: 0, usualPort: 0, host: "127.0.0.1" });
});

afterAll(async () => {
  await browser?.close();
  await server?.[Symbol.asyncDispose]();
  built?.[Symbol.dispose]();
});

beforeEach(async () => {
  page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  complaints = complaintsOf(page, server.url);
});

afterEach(async () => {
  await page.close();
  expect(complaints).toEqual([]);
});

/** The section of a demo, and what may be done in it. */
function demo(name: string) {
  const section = page.locator(`section[data-part="${name}"]`);
  const part = (of: string): Locator => section.locator(`[data-part="${of}"]`);
  return {
    part,
    press: (button: string) => part(button).click(),
    number: async (of: string) => Number((await part(of).innerText()).replace(/\D/g, "")),
    /** Waits for a state; that of a failure ends the test with what the page says of it. */
    become: async (state: string) => {
      const inState = (of: string): string => `[data-part="${name}"][data-state="${of}"]`;
      await page.waitForSelector(`${inState(state)}, ${inState("failed")}`);
      const failure = state === "failed" ? "" : await part("notice").innerText();
      expect(failure, "what the page says").toBe("");
    },
    download: async (): Promise<Download> => {
      const [file] = await Promise.all([page.waitForEvent("download"), part("download").click()]);
      return file;
    },
  };
}

async function bytesOf(file: Download): Promise<Uint8Array> {
  return new Uint8Array(readFileSync(await file.path()));
}

describe("the demo's page", { timeout: 2 * PATIENCE_MS }, () => {
  it("trains CartPole, pauses, and goes on after a reload where it was", async () => {
    await page.goto(server.url);
    const { press, part, number, become, download } = demo("cart-pole");
    await part("seed").fill("7");
    await press("start");
    await expect.poll(() => number("steps"), { timeout: PATIENCE_MS }).toBeGreaterThan(0);
    await press("start");
    await become("paused");
    const steps = await number("steps");
    expect(steps % 256).toBe(0);
    expect(await part("kept").innerText()).toContain("seed 7");

    const file = await download();
    expect(file.suggestedFilename()).toBe(`cartpole-seed7-${steps}.safetensors`);
    const source = bytesSource("networks", await bytesOf(file));
    const { entries, metadata } = await readSafetensorsHeader(source);
    expect(metadata).toMatchObject({ environment: "CartPole-v1", steps: String(steps) });
    expect(entries.get("actor.2.weight")).toMatchObject({ dtype: "F32", shape: [64, 2] });
    expect(entries.size).toBe(12);
    expect(await number("steps")).toBe(steps);

    await page.reload();
    await part("kept").getByRole("button").first().click();
    await become("paused");
    expect(await number("steps")).toBe(steps);
    await press("start");
    await expect.poll(() => number("steps"), { timeout: PATIENCE_MS }).toBeGreaterThan(steps);
    await press("start");
    await become("paused");
    await press("play");
    await become("playing");
    await expect.poll(() => part("caption").innerText()).toMatch(/up for \d/);
  });

  it("trains the calculator agent from the warm start to an examination, and hands it over", async () => {
    const query = new URLSearchParams(SMALL.map((setting): [string, string] => ["set", setting]));
    await page.goto(`${server.url}?${query}`);
    const { press, part, become, download } = demo("calculator");
    await press("start");
    await become("done");
    expect(await part("warm-steps").innerText()).toBe("done");
    expect(await part("practice-steps").innerText()).toBe("3 of 3");
    expect(await part("episodes").innerText()).toBe("12");
    expect(await part("exam-share").innerText()).toMatch(/^\d+ %$/);
    const asked = part("transcripts").locator('[data-speaker="user"] code').first();
    expect(await asked.innerText()).toMatch(/^\(\d+[-+]\d+\)\*\d$/);
    expect(await part("kept").innerText()).toContain("practice, step 3");

    const file = await download();
    expect(file.suggestedFilename()).toBe("calculator-agent-seed1-step3.zip");
    const text = new TextDecoder("latin1").decode(await bytesOf(file));
    for (const name of ["config.json", "model.safetensors", "tokenizer.json"])
      expect(text).toContain(`calculator-agent-seed1-step3/${name}`);

    await page.reload();
    await part("kept").getByRole("button").first().click();
    await become("done");
    expect(await part("practice-steps").innerText()).toBe("3 of 3");
  });

  it("says what to do when the GPU is taken away", async () => {
    await page.goto(server.url);
    const { press, part, number, become } = demo("cart-pole");
    await press("start");
    await expect.poll(() => number("steps"), { timeout: PATIENCE_MS }).toBeGreaterThan(0);
    await crashGpu();
    await become("failed");
    expect(await part("notice").innerText()).toContain("took the GPU away");
    expect(await part("start").innerText()).toBe("Start");
  });

  it("says what is missing in a browser that offers no GPU, and in one without WebGPU", async () => {
    const plain = await openBrowser();
    try {
      const other = await plain.newPage();
      const notice = other.locator('[data-part="obstacle"]');
      await other.goto(server.url);
      await expect.poll(() => notice.innerText()).toContain("offers no GPU");
      expect(await other.locator('[data-part="start"]').first().isDisabled()).toBe(true);
      await other.addInitScript("delete Navigator.prototype.gpu");
      await other.reload();
      await expect.poll(() => notice.innerText()).toContain("has no WebGPU");
      await other.goto(`file://${built.folder}/index.html`);
      await expect.poll(() => notice.innerText()).toContain("has to come from a server");
    } finally {
      await plain.close();
    }
  });
});

/** Ends the process that has the GPU, as a driver does that resets. */
async function crashGpu(): Promise<void> {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  const gpu = processInfo.find(({ type }) => type === "GPU");
  if (!gpu) throw new Error(`no GPU process among ${processInfo.map(({ type }) => type)}`);
  process.kill(gpu.id);
}
