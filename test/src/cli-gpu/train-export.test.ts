import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import type { EvaluationReport } from "../../../src/train/evaluation/report.ts";
import type { TrainResult } from "../../../src/train/train.ts";
import { temporaryFolder } from "../../support/checkpoints.ts";
import { forgeGpu } from "../../support/command.ts";

const folder = temporaryFolder("train-export");
const at = (name: string): string => join(folder, name);
const config = at("config/train.json");
const lora = at("config/lora.json");

const ENVIRONMENT = `import { defineEnvironment } from "forge-gpu";
const letters = [..."abcdefgh"];
export const environment = defineEnvironment({
  name: "twice",
  tasks: { train: letters, eval: letters.slice(0, 3) },
  taskId: (letter) => letter,
  prompt: (letter) => letter + ">",
  maxTokens: 5,
  rewards: { first: ({ task, text }) => Number(text[0] === task) },
  demonstration: (letter) => ({ prompt: letter + ">", response: letter + letter }),
});
`;

const RUN = {
  ...{ environment: "environment.ts", algorithm: { name: "grpo" }, seed: 6 },
  reward: { speed: 0, truncated: "score" },
  rollout: { groupSize: 4, groupsPerStep: 4, slots: 4, batch: 16 },
  ...{ optimizer: { lr: 1e-3 }, train: { steps: 2, tokenBudget: 512 } },
  ...{ eval: { every: 2, samples: 2, temperature: 1 }, checkpoint: { every: 1 } },
  run: { directory: at("runs") },
};

beforeAll(() => {
  mkdirSync(at("config"));
  writeFileSync(at("config/environment.ts"), ENVIRONMENT);
  const sizes = { layers: 1, width: 32, heads: 2, mlpWidth: 32, maxLength: 16 };
  const create = { ...sizes, tokenizer: { kind: "characters", alphabet: "abcdefgh>" } };
  const warmStart = { steps: 30, batch: 8, lr: 1e-2 };
  const full = { ...RUN, model: { create }, train: { ...RUN.train, warmStart } };
  writeFileSync(config, JSON.stringify(full));
  const lines = [..."abcdefgh"].map((letter) => ({ prompt: `${letter}>`, response: "gh" }));
  writeFileSync(at("config/gh.jsonl"), lines.map((line) => JSON.stringify(line)).join("\n"));
  const adapters = {
    ...{ method: "sft", data: "gh.jsonl", model: { directory: "../full", lora: { rank: 4 } } },
    ...{ optimizer: { lr: 3e-2 }, train: { steps: 30, batch: 8 }, eval: { every: 0 } },
  };
  writeFileSync(lora, JSON.stringify({ ...RUN, ...adapters }));
});

async function documentOf<T>(...args: string[]): Promise<T> {
  const { code, stdout, stderr } = await forgeGpu([...args, "--json"]);
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout) as T;
}

interface Evaluated extends EvaluationReport {
  readonly policy: { readonly checkpoint: { step: number } | null; readonly model: string | null };
}

/** Prompt and answer of the first task, greedily, as `eval` has it. */
async function greedyTurn(
  file: string,
  ...policy: string[]
): Promise<{ prompt: string; response: string }> {
  const line = [file, ...policy, "--temperature", "0", "--samples", "1", "--tasks", "1"];
  const { transcripts } = await documentOf<Evaluated>("eval", ...line, "--transcripts", "1");
  const [turn] = transcripts[0]?.transcript ?? [];
  if (!turn) throw new Error("there is no transcript");
  return turn;
}

/** What `generate` writes behind a prompt, of as many tokens. */
async function generated(model: string, prompt: string): Promise<string> {
  const { code, stdout, stderr } = await forgeGpu([
    "generate",
    model,
    "--prompt",
    prompt,
    "--greedy",
    "--max-tokens",
    "5",
  ]);
  expect(code, stderr).toBe(0);
  return stdout.trimEnd();
}

describe("a policy", () => {
  let full: TrainResult;

  it("is trained, and evaluates as its run said", async () => {
    full = await documentOf<TrainResult>("train", config);
    expect(full).toMatchObject({ steps: 2, ended: "done", nondeterminism: [] });
    const { transcripts: _, ...after } = full.after ?? { transcripts: [] };
    const again = await documentOf<Evaluated>("eval", config, "--run"); // the newest
    expect(again).toMatchObject({ ...after, transcripts: [], policy: { checkpoint: { step: 2 } } });
  });

  it("is exported, and writes the same with generate", async () => {
    const { code, stderr } = await forgeGpu(["export", full.directory, "--to", at("full")]);
    expect(code, stderr).toBe(0);
    const { prompt, response } = await greedyTurn(config, "--run", full.directory);
    expect({ prompt, response }).toEqual({ prompt: "a>", response: "aa" });
    expect(await generated(at("full"), prompt)).toBe(response);
    expect(await greedyTurn(config, "--model", at("full"))).toEqual({ prompt, response });
  });

  it("has adapters that are trained, evaluated, and exported merged or alone", async () => {
    const { directory } = await documentOf<TrainResult>("train", lora);
    const { prompt, response } = await greedyTurn(lora, "--run", directory);
    expect({ prompt, response }).toEqual({ prompt: "a>", response: "gh" });
    for (const format of ["hf", "peft"]) {
      const { code, stderr } = await forgeGpu([
        "export",
        directory,
        "--to",
        at(format),
        "--format",
        format,
      ]);
      expect(code, stderr).toBe(0);
    }
    expect(await generated(at("hf"), prompt)).toBe(response);
    const { base_model_name_or_path: base } = JSON.parse(
      readFileSync(join(at("peft"), "adapter_config.json"), "utf8"),
    );
    expect(base).toBe(at("full"));
  });

  it("is played for people, or refused with a reason", async () => {
    // the configuration's own model, which has learned nothing
    const shown = await forgeGpu(["eval", config, "--transcripts", "1"]);
    expect(shown.code, shown.stderr).toBe(0);
    expect(shown.stdout).toMatch(
      /^success +[\d.]+ %, .* confidence\): \d of 6 plays of 3 tasks\npass@1 .*\npass@2 /,
    );
    expect(shown.stdout).toMatch(/^3 tasks:\ntask +success +reward +tokens\n[abc] +\d\/2 /m);
    expect(shown.stdout).toMatch(/^── (success|failure) · task [abc], sample \d .*\n> [abc]>\n│ /m);
    const refused = await forgeGpu(["eval", config, "--samples", "2", "--temperature", "0"]);
    expect([refused.code, refused.stdout]).toEqual([2, ""]);
    expect(refused.stderr).toContain("all plays of a task are the same");
    const nowhere = await forgeGpu(["eval", config, "--run", folder]);
    expect([nowhere.code, nowhere.stdout]).toEqual([1, ""]);
    expect(nowhere.stderr).toContain("[run_not_found]");
  });
});
