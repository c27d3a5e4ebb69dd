import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import {
  bytesSource,
  type CausalLM,
  type HfConfig,
  loadModel,
  openCheckpoint,
  safetensorsParts,
  Tokenizer,
} from "../../../engine/index.ts";
import { Sampler } from "../../../src/rollout/sampler.ts";
import { ABSENT, ASSETS } from "../../support/assets.ts";
import { device } from "../../support/gpu.ts";
import { integers } from "../../support/sampling.ts";

const stories = resolve(ASSETS, "models/stories260K-hf");
const sorter = resolve(ASSETS, "models/gpt-nano-sort-model.json");

async function loaded(config: HfConfig, bytes: Uint8Array): Promise<CausalLM> {
  const checkpoint = await openCheckpoint({
    open: async (name) => (name === "model.safetensors" ? bytesSource(name, bytes) : undefined),
  });
  return loadModel(config, checkpoint, { device: await device() });
}

/** As printed in doc/stories260K.md of karpathy/llama2.c (MIT), `./run stories260K.bin -t 0.0`. */
const STORY = `Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red ball. She wanted to play with it, but it was too high.
Lily's mom said, "Lily, let's go to the park." Lily was sad and didn't know what to do. She said, "I want to play with your ball, but I can't find it."
Lily was sad and didn't know what to do. She said, "I'm sorry, Lily. I didn't know what to do."
Lily didn't want to help her mom, so she said, "I'm sorry, mom. I didn't know what to do." Her mom said, "Don't worry, Lily. We can help you.`;

describe.skipIf(!existsSync(stories))(
  `stories260K${existsSync(stories) ? "" : ` ${ABSENT}`}`,
  () => {
    it("tells the published story, and others alike whatever is told beside them", async () => {
      const read = (name: string): string => readFileSync(resolve(stories, name), "utf8");
      const weights = new Uint8Array(readFileSync(resolve(stories, "model.safetensors")));
      const model = await loaded(JSON.parse(read("config.json")), weights);
      const tokenizer = Tokenizer.from({
        tokenizer: read("tokenizer.json"),
        config: read("tokenizer_config.json"),
      });
      const on = await device();
      const sampler = new Sampler({ device: on, model, tokenizer, batch: 8, stopIds: [] });
      const prompt = tokenizer.encode("");
      expect(prompt).toEqual([1]);
      const tell = (seed: number) =>
        sampler.generate({ prompt, maxTokens: 256, sampling: { temperature: seed ? 1 : 0, seed } });
      const [greedy, ...told] = await Promise.all([0, 1, 2, 3].map(tell));
      expect(greedy?.text).toBe(STORY);
      expect((await tell(2)).ids).toEqual(told[1]?.ids);
      // it was trained on lines; sampled at temperature 1 it stays near its loss of 1.3 nats a token
      const mean = told.flatMap((g) => [...g.logprobs]).reduce((a, b) => a + b, 0) / (3 * 256);
      expect(mean).toBeGreaterThan(-1.9);
      expect(mean).toBeLessThan(-0.9);
      await sampler.close();
    });
  },
);

describe.skipIf(!existsSync(sorter))(
  `gpt-nano-sort${existsSync(sorter) ? "" : ` ${ABSENT}`}`,
  () => {
    it("sorts 200 of 200 random inputs", async () => {
      const model = await sortingModel();
      const sampler = new Sampler({ device: await device(), model, batch: 16, length: 11 });
      const inputs = Array.from({ length: 200 }, (_, i) => integers(i + 1, 6, 3));
      const sorted = await Promise.all(
        inputs.map((prompt) =>
          sampler.generate({ prompt, maxTokens: 6, sampling: { temperature: 0 } }),
        ),
      );
      expect(sorted.map((g) => g.ids)).toEqual(inputs.map((ids) => [...ids].sort()));
      await sampler.close();
    });
  },
);

interface Stored {
  readonly shape: readonly number[];
  readonly data: string;
}

/** minGPT's `Linear` layers are [outputs, inputs], where GPT-2's checkpoints have [inputs, outputs]. */
async function sortingModel(): Promise<CausalLM> {
  const { config, ...stored } = JSON.parse(readFileSync(sorter, "utf8")) as {
    config: Record<string, number>;
  } & Record<string, Stored>;
  const tensors = Object.entries(stored)
    .filter(([name]) => !name.endsWith(".attn.bias"))
    .map(([name, { shape, data }]) => {
      const bytes = Buffer.from(data, "base64");
      const isLinear = /(c_attn|c_proj|c_fc)\.weight$/.test(name);
      return {
        name,
        dtype: "F32" as const,
        shape: isLinear ? [...shape].reverse() : shape,
        bytes: () => (isLinear ? transposed(bytes, shape) : new Uint8Array(bytes)),
      };
    });
  const parts: Uint8Array[] = [];
  for await (const part of safetensorsParts(tensors)) parts.push(part);
  const hf = {
    model_type: "gpt2",
    vocab_size: config["vocab_size"],
    n_layer: config["n_layer"],
    n_head: config["n_head"],
    n_embd: config["n_embd"],
    n_positions: config["block_size"],
    activation_function: "gelu_new",
    tie_word_embeddings: false,
  };
  return loaded(hf, new Uint8Array(Buffer.concat(parts)));
}

function transposed(bytes: Buffer, [rows = 0, columns = 0]: readonly number[]): Uint8Array {
  const from = new Float32Array(new Uint8Array(bytes).buffer);
  const to = new Float32Array(from.length);
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++) to[c * rows + r] = from[r * columns + c] as number;
  return new Uint8Array(to.buffer);
}
