import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { byteTokenizer, type CausalLM, Tokenizer } from "../../../engine/index.ts";
import { Scorer } from "../../../src/rollout/scorer.ts";
import { ABSENT, ASSETS } from "../../support/assets.ts";
import { forgeGpu, startForgeGpu } from "../../support/command.ts";
import { device, expectClose } from "../../support/gpu.ts";
import { END, START, saveTinyModel } from "../../support/model-folder.ts";
import { TOLERANCES } from "../../support/tolerances.ts";

const tokenizer = Tokenizer.from({ tokenizer: byteTokenizer({ specialTokens: [START, END] }) });
const stories = join(ASSETS, "models/stories260K-hf");

const folder = mkdtempSync(join(tmpdir(), "forge-gpu-generate-"));
const tiny = join(folder, "tiny");
let model: CausalLM;
beforeAll(async () => {
  model = await saveTinyModel(tiny);
  return () => {
    model[Symbol.dispose]();
    rmSync(folder, { recursive: true, force: true });
  };
});

interface Document {
  readonly model: { readonly path: string; readonly family: string };
  readonly versions: Readonly<Record<string, string>>;
  readonly promptIds: number[];
  readonly settings: Readonly<Record<string, unknown>>;
  readonly samples: {
    readonly seed: number;
    readonly ids: number[];
    readonly text: string;
    readonly logprobs: number[];
    readonly entropies: number[];
    readonly finishReason: string;
    readonly timing: Readonly<Record<string, number>>;
  }[];
  readonly timing: Readonly<Record<string, number>>;
}

describe("forge-gpu generate", () => {
  const isAbsent = !existsSync(stories);
  it.skipIf(isAbsent)(`tells a story, greedily${isAbsent ? ` ${ABSENT}` : ""}`, async () => {
    const { code, stdout, stderr } = await forgeGpu(
      ["generate", stories, "--prompt", "-", "--echo", "--max-tokens", "40"],
      "Once upon a time\n",
    );
    expect(code, stderr).toBe(0);
    expect(stdout).toBe(
      "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red ball.\n",
    );
    expect(stderr).toMatch(
      /^40 tokens in [\d.]+ s · [\d.]+ tokens\/s · the first after [\d.]+ s · ended at the most tokens$/m,
    );
  });

  it("prints one document of several samples, with the log-probs of training", async () => {
    const args = ["generate", tiny, "-p", "Hi", "--samples", "3", "--seed", "5", "--json"];
    const { code, stdout, stderr } = await forgeGpu([...args, "--stop-id", "10"]);
    expect(code, stderr).toBe(0);
    const document = JSON.parse(stdout) as Document;
    expect(document).toMatchObject({
      model: { path: tiny, family: "llama" },
      versions: { node: process.version },
      promptIds: [72, 105],
      // what is not given is the model's
      settings: { maxTokens: 12, temperature: 0.8, topK: 50, topP: 1, stopIds: [257, 10] },
    });
    expect(document.samples.map((s) => s.seed)).toEqual([5, 6, 7]);
    using scorer = new Scorer({ device: await device(), model });
    for (const sample of document.samples) {
      const { ids, text, logprobs, entropies, finishReason, timing } = sample;
      const isEnded = ids.at(-1) === 257 || ids.at(-1) === 10;
      expect(finishReason).toBe(isEnded ? "stop" : "length");
      expect(text).toBe(
        tokenizer.decode(isEnded ? ids.slice(0, -1) : ids, { skipSpecialTokens: true }),
      );
      const sequence = { ids: [72, 105, ...ids], from: 2 };
      const [score] = await scorer.score([sequence], { temperature: 0.8 });
      expectClose(logprobs, score?.logprobs ?? [], TOLERANCES.logProb, "log-probs");
      expectClose(entropies, score?.entropies ?? [], TOLERANCES.logProb, "entropies");
      for (const name of ["queuedMs", "prefillMs", "decodeMs"])
        expect(timing[name]).toBeGreaterThanOrEqual(0);
    }
    for (const name of ["loadMs", "firstTokenMs", "totalMs", "tokensPerSecond"])
      expect(document.timing[name]).toBeGreaterThan(0);
  });

  it("writes as it samples; Ctrl-C ends it with what there is", async () => {
    const args = ["generate", tiny, "-p", "Hi", "--max-tokens", "16000", "--greedy"];
    const { child, done } = startForgeGpu(args);
    await Promise.race([once(child.stdout ?? child, "data"), done]);
    child.kill("SIGINT");
    const { code, stdout, stderr } = await done;
    expect(code, stderr).toBe(130);
    expect(stdout.endsWith("\n")).toBe(true);
    const [, tokens] = /^(\d+) tokens? in .* interrupted$/m.exec(stderr) ?? [];
    expect(Number(tokens)).toBeGreaterThan(0);
    expect(Number(tokens)).toBeLessThan(16_000);
  });

  it("fails with what is wrong", async () => {
    const beyond = await forgeGpu(["generate", tiny, "--ids", "1,258"]);
    expect([beyond.code, beyond.stdout]).toEqual([1, ""]);
    expect(beyond.stderr).toContain("[index_out_of_range]");
    const nowhere = await forgeGpu(["generate", join(folder, "nowhere")]);
    expect([nowhere.code, nowhere.stdout]).toEqual([1, ""]);
    expect(nowhere.stderr).toContain("[model_not_found]");
  });
});
