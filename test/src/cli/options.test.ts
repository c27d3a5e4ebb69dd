import { Command, type CommanderError } from "commander";
import { describe, expect, it } from "vitest";
import { generationDefaults } from "../../../engine/index.ts";
import { chatCommand } from "../../../src/cli/chat.ts";
import { evalCommand } from "../../../src/cli/eval.ts";
import { exportCommand } from "../../../src/cli/export.ts";
import { generateCommand } from "../../../src/cli/generate.ts";
import { logprobsCommand } from "../../../src/cli/logprobs.ts";
import { maxTokensOf, type SamplingFlags, samplingOf } from "../../../src/cli/sampling.ts";

/** Parses a command line without doing what it says; what commander prints comes back with its error's code. */
async function parsed(
  make: () => Command,
  ...args: string[]
): Promise<{ code?: string; text: string; options: Record<string, unknown> }> {
  let text = "";
  const write = (part: string): void => {
    text += part;
  };
  const command = make().action(() => undefined);
  const program = new Command("forge-gpu").showSuggestionAfterError().exitOverride();
  command.copyInheritedSettings(program).configureOutput({ writeErr: write, writeOut: write });
  try {
    await command.parseAsync(args, { from: "user" });
    return { text, options: command.opts() };
  } catch (error) {
    return { code: (error as CommanderError).code, text, options: {} };
  }
}

describe("generate", () => {
  it("takes text or ids, settings, and what ends a text", async () => {
    const line = "m -p Hello --samples 2 --temperature 0.5 --top-k 3 --seed 18446744073709551615";
    const more = "--stop . --stop !? --stop-id 2 --repetition-stop 8:0.9 --dtype f16 --no-bos";
    expect((await parsed(generateCommand, ...line.split(" "), ...more.split(" "))).options).toEqual(
      {
        ...{ prompt: "Hello", samples: 2, temperature: 0.5, topK: 3, seed: 2n ** 64n - 1n },
        ...{ stop: [".", "!?"], stopId: [2], repetitionStop: { count: 8, probability: 0.9 } },
        ...{ dtype: "f16", bos: false, batch: 32 },
      },
    );
    const { options } = await parsed(generateCommand, "m", "--ids", "[1, 2,3]");
    expect(options).toEqual({
      ...{ ids: [1, 2, 3], samples: 1, seed: 0n, dtype: "f32", bos: true, batch: 32 },
    });
  });

  it.each([
    ["--temprature 1", "unknownOption", "Did you mean --temperature?"],
    ["--temperature -1", "invalidArgument", "0, or a number from"],
    ["--temperature warm", "invalidArgument", "0, or a number from"],
    ["--temperature 1 --greedy", "conflictingOption", "--greedy"],
    ["--prompt a --ids 1", "conflictingOption", "--ids"],
    ["--ids 1,x", "invalidArgument", "as in 1,2,3"],
    ["--ids 1,-2", "invalidArgument", "as in 1,2,3"],
    ["--max-tokens 0", "invalidArgument", "whole number from 1"],
    ["--samples 1.5", "invalidArgument", "whole number from 1"],
    ["--top-p 0", "invalidArgument", "above 0, and at most 1"],
    ["--min-p 2", "invalidArgument", "from 0 to 1"],
    ["--seed 18446744073709551616", "invalidArgument", "2^64"],
    ["--repetition-stop 3", "invalidArgument", "<count>:<p>"],
    ["--repetition-stop 3:1", "invalidArgument", "<count>:<p>"],
    ["--repetition-stop 3:0.5:7", "invalidArgument", "whole number from 1"],
    ["--dtype f8", "invalidArgument", "Allowed choices are f32, f16, bf16"],
    ["another", "excessArguments", "too many arguments"],
  ])("refuses %s", async (line, code, hint) => {
    const refused = await parsed(generateCommand, "m", ...line.split(" "));
    expect(refused.code).toBe(`commander.${code}`);
    expect(refused.text).toContain(hint);
  });

  it("says in its help where the defaults come from", async () => {
    const { code, text } = await parsed(generateCommand, "--help");
    expect(code).toBe("commander.helpDisplayed");
    expect(text).toContain("generation_config.json");
    expect(text).toMatch(/--max-tokens <count>\s+tokens to sample at most \(default: 256/);
  });
});

describe("chat", () => {
  it("takes variables of the template, as JSON where they are", async () => {
    const variables = ["enable_thinking=false", "name=Ada = 1", "list=[1]"];
    const args = variables.flatMap((each) => ["--variable", each]);
    expect((await parsed(chatCommand, "m", ...args)).options["variable"]).toEqual([
      ["enable_thinking", false],
      ["name", "Ada = 1"],
      ["list", [1]],
    ]);
    expect((await parsed(chatCommand, "m", "--variable", "thinking")).code).toBe(
      "commander.invalidArgument",
    );
  });
});

describe("logprobs", () => {
  it("scores one of a text, ids and a file", async () => {
    expect((await parsed(logprobsCommand, "m", "--text", "a", "--ids", "1")).code).toBe(
      "commander.conflictingOption",
    );
    expect((await parsed(logprobsCommand, "m", "--file", "a", "--text", "b")).code).toBe(
      "commander.conflictingOption",
    );
    const { options } = await parsed(logprobsCommand, "m", "--file", "-", "--top", "2");
    expect(options).toMatchObject({ file: "-", top: 2, temperature: 1, bos: true });
  });
});

describe("settings", () => {
  const flags = (some: Partial<SamplingFlags>): SamplingFlags => ({ seed: 0n, ...some });
  const plain = generationDefaults();
  const warm = generationDefaults({ do_sample: true, temperature: 0.6, top_k: 20, top_p: 0.95 });

  it("are the model's where the command line is silent", () => {
    expect(samplingOf(flags({}), warm)).toEqual({
      temperature: 0.6,
      topK: 20,
      topP: 0.95,
      minP: 0,
    });
    expect(samplingOf(flags({ temperature: 0, topP: 1 }), warm)).toMatchObject({
      temperature: 0,
      topP: 1,
    });
    expect(samplingOf(flags({ greedy: true }), warm).temperature).toBe(0);
  });

  it("are greedy without any, but where that cannot be meant", () => {
    expect(samplingOf(flags({}), plain)).toEqual({ temperature: 0, topK: 50, topP: 1, minP: 0 });
    expect(samplingOf(flags({}), plain, true).temperature).toBe(1);
    expect(samplingOf(flags({ topK: 0 }), plain)).toMatchObject({ temperature: 1, topK: 0 });
    expect(samplingOf(flags({ greedy: true }), plain, true).temperature).toBe(0);
  });

  it("ask for as many tokens as fit, unless they are told how many", () => {
    expect(maxTokensOf(flags({}), plain, 256, 1000)).toBe(256);
    expect(maxTokensOf(flags({}), plain, 256, 100)).toBe(100);
    expect(maxTokensOf(flags({}), generationDefaults({ max_new_tokens: 7 }), 256, 100)).toBe(7);
    expect(maxTokensOf(flags({ maxTokens: 500 }), plain, 256, 100)).toBe(500);
    expect(maxTokensOf(flags({}), plain, 256, -3)).toBe(1); // and the sampler says what does not fit
  });
});

describe("export", () => {
  it("takes a run, a target, and what to write", async () => {
    const line = "run --to out --format peft --step 20 --dtype bf16 --base here --force --json";
    expect((await parsed(exportCommand, ...line.split(" "))).options).toEqual({
      ...{ to: "out", format: "peft", step: 20, dtype: "bf16", base: "here" },
      ...{ force: true, json: true },
    });
  });

  it.each([
    ["--to out", "missingArgument", "'run'"],
    ["run", "missingMandatoryOptionValue", "--to"],
    ["run --to out --step 1 --best", "conflictingOption", "--best"],
    ["run --to out --step -1", "invalidArgument", "whole number from 0"],
    ["run --to out --format gguf", "invalidArgument", "hf, peft"],
    ["run --to out --dtype int8", "invalidArgument", "f32, f16, bf16"],
    ["run --to out --forze", "unknownOption", "--force"],
  ])("refuses %s", async (line, code, text) => {
    const refused = await parsed(exportCommand, ...line.split(" "));
    expect(refused.code).toBe(`commander.${code}`);
    expect(refused.text).toContain(text);
  });
});

describe("eval", () => {
  it("takes a configuration, a policy, and how it is played", async () => {
    const line = "c.yaml --run r --tasks 5 --samples 4 --temperature 0.7 --seed 9 --all --json";
    const more = "--set rollout.length=64 --set eval.maxTokens=8 --transcripts 2";
    expect((await parsed(evalCommand, ...line.split(" "), ...more.split(" "))).options).toEqual({
      ...{ run: "r", tasks: 5, samples: 4, temperature: 0.7, seed: 9, all: true, json: true },
      ...{ set: ["rollout.length=64", "eval.maxTokens=8"], transcripts: 2 },
    });
  });

  it.each([
    ["c --run r --checkpoint k", "conflictingOption", "--checkpoint"],
    ["c --run r --model m", "conflictingOption", "--model"],
    ["c --checkpoint k --model m", "conflictingOption", "--model"],
    ["c --samples 0", "invalidArgument", "whole number from 1"],
    ["c --temperature 1e9", "invalidArgument", "0, or a number from"],
    ["c --sampels 2", "unknownOption", "--samples"],
  ])("refuses %s", async (line, code, text) => {
    const refused = await parsed(evalCommand, ...line.split(" "));
    expect(refused.code).toBe(`commander.${code}`);
    expect(refused.text).toContain(text);
  });
});
