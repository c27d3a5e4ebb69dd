import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import type { CausalLM } from "../../../engine/index.ts";
import { Scorer } from "../../../src/rollout/scorer.ts";
import { forgeGpu } from "../../support/command.ts";
import { device, expectClose } from "../../support/gpu.ts";
import { saveTinyModel } from "../../support/model-folder.ts";
import { TOLERANCES } from "../../support/tolerances.ts";

const folder = mkdtempSync(join(tmpdir(), "forge-gpu-logprobs-"));
const tiny = join(folder, "tiny");
let model: CausalLM;
beforeAll(async () => {
  model = await saveTinyModel(tiny);
  return () => {
    model[Symbol.dispose]();
    rmSync(folder, { recursive: true, force: true });
  };
});

interface Scored {
  readonly ids: number[];
  readonly tokens: string[];
  readonly logprobs: (number | null)[];
  readonly entropies: (number | null)[];
  readonly top: ({ readonly id: number; readonly logprob: number }[] | null)[];
  readonly scored: number;
  readonly sum: number;
}

describe("forge-gpu logprobs", () => {
  it("prints one document of many lines", async () => {
    const file = join(folder, "lines.jsonl");
    const lines = [{ text: "Hé!" }, { ids: [257, 0, 255] }, { ids: [7] }];
    writeFileSync(file, `${lines.map((line) => JSON.stringify(line)).join("\n\n")}\n`);
    const args = ["logprobs", tiny, "--file", file, "--json", "--top", "2", "--temperature", "0.5"];
    const { code, stdout, stderr } = await forgeGpu([...args, "--batch-tokens", "4"]);
    expect(code, stderr).toBe(0);
    const { sequences, total } = JSON.parse(stdout) as {
      readonly sequences: Scored[];
      readonly total: Pick<Scored, "scored" | "sum">;
    };
    expect(sequences.map((s) => s.ids)).toEqual([[72, 0xc3, 0xa9, 33], [257, 0, 255], [7]]);
    expect(sequences[0]?.tokens).toEqual(["H", "Ã", "é", "!"]);
    using scorer = new Scorer({ device: await device(), model });
    const scores = await scorer.score(sequences, { temperature: 0.5, alternatives: 2 });
    let sum = 0;
    sequences.forEach(({ logprobs, entropies, top, ...totals }, i) => {
      const score = scores[i] ?? { logprobs: [], entropies: [], alternatives: [] };
      expect([logprobs[0], entropies[0]]).toEqual([null, null]);
      expectClose(logprobs.slice(1) as number[], score.logprobs, TOLERANCES.logProb);
      expectClose(entropies.slice(1) as number[], score.entropies, TOLERANCES.logProb);
      const best = (top ?? []).slice(1).map((all) => all?.map((a) => a.id));
      expect(best).toEqual(score.alternatives.map((all) => all.map((a) => a.id)));
      expect(totals.sum).toBeCloseTo(
        score.logprobs.reduce((a, b) => a + b, 0),
        4,
      );
      sum += totals.sum;
    });
    expect([total.scored, total.sum]).toEqual([5, expect.closeTo(sum, 9)]);
  });

  it("prints a table", async () => {
    const { code, stdout, stderr } = await forgeGpu([
      "logprobs",
      tiny,
      "--text",
      "Hi",
      "--top",
      "1",
    ]);
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(
      /^token +id +logprob +entropy +top\n"H" +72\n"i" +105 +-\d+\.\d{4} +\d+\.\d{4} +".*" -\d+\.\d\d\n1 scored · sum (-\d+\.\d{4}) · mean \1 · perplexity \d+\.\d{4}\n$/,
    );
  });

  it("names the line that is nothing to score", async () => {
    const { code, stdout, stderr } = await forgeGpu(
      ["logprobs", tiny, "--file", "-"],
      '{"text": "a"}\n{"text": 1}\n',
    );
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toContain("[file_invalid] stdin:2: this line is nothing to score");
  });
});
