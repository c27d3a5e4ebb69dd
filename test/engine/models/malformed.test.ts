/** Model directories that are damaged, or not what they say: an error that names file and tensor, and nothing is left. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type CausalLM,
  type Device,
  ForgeError,
  type LoadOptions,
  loadModelFiles,
  memoryFiles,
  openCheckpoint,
  readTensor,
  type SafetensorsTensor,
  safetensorsParts,
} from "../../../engine/index.ts";
import { errorOf } from "../../support/errors.ts";
import { device } from "../../support/gpu.ts";
import { configIn, type Files, goldenModelFiles } from "../../support/model-files.ts";
import { joined } from "../../support/safetensors.ts";

let on: Device;
let golden: Files;
beforeAll(async () => {
  on = await device();
  golden = await goldenModelFiles("llama3");
});
afterAll(() => on.idle());

const WEIGHTS = "model.safetensors";
const DOWN = "model.layers.1.mlp.down_proj.weight";

/** The error that the files are refused with, when the device has as many live bytes then as before. */
async function refusal(files: Files, options: Partial<LoadOptions> = {}): Promise<ForgeError> {
  const before = on.liveBytes;
  const error = await errorOf(loadModelFiles(memoryFiles(files), { device: on, ...options }));
  expect(on.liveBytes).toBe(before);
  if (error instanceof ForgeError) return error;
  throw error;
}

function withFile(name: string, content: string | Uint8Array | object): Files {
  const text = typeof content === "string" ? content : JSON.stringify(content);
  const bytes = content instanceof Uint8Array ? content : new TextEncoder().encode(text);
  return new Map([...golden, [name, bytes]]);
}

function withConfig(more: object): Files {
  return withFile("config.json", { ...configIn(golden), ...more });
}

/** The golden weights, with one tensor as `change` makes it; a tensor without a name is left out. */
async function withTensor(
  name: string,
  change: (tensor: SafetensorsTensor) => Partial<SafetensorsTensor>,
): Promise<Files> {
  const { tensors } = await openCheckpoint(memoryFiles(golden));
  const all = [...tensors.values()].map(({ source, entry }): SafetensorsTensor => {
    const tensor = { ...entry, bytes: () => readTensor(source, entry) };
    return entry.name === name ? { ...tensor, ...change(tensor) } : tensor;
  });
  const kept = all.filter((tensor) => tensor.name !== "");
  return withFile(WEIGHTS, await joined(safetensorsParts(kept, { format: "pt" })));
}

/** F32 [32, 48] as DOWN is, with one number that is none. */
function damaged(at: number, value: number): () => Uint8Array {
  return () => new Uint8Array(new Float32Array(32 * 48).fill(1).fill(value, at, at + 1).buffer);
}

describe("weights that are not the model's", () => {
  it.each<[what: string, change: (t: SafetensorsTensor) => Partial<SafetensorsTensor>]>([
    ["is missing", () => ({ name: "" })],
    ["is turned", ({ shape }) => ({ shape: shape.toReversed() })],
    ["has another rank", ({ shape }) => ({ shape: [1, ...shape] })],
    ["holds integers", () => ({ dtype: "I64", bytes: () => new Uint8Array(32 * 48 * 8) })],
    ["holds f8", () => ({ dtype: "F8_E4M3", bytes: () => new Uint8Array(32 * 48) })],
    ["is empty", () => ({ shape: [0], bytes: () => new Uint8Array() })],
    ["holds NaN", () => ({ bytes: damaged(1535, Number.NaN) })],
    ["holds infinity", () => ({ bytes: damaged(77, Number.NEGATIVE_INFINITY) })],
  ])("a tensor that %s", async (_what, change) => {
    const error = await refusal(await withTensor(DOWN, change));
    expect(error.code).toBe("checkpoint_invalid");
    expect(error.message).toContain(WEIGHTS);
    expect(error.message).toContain(DOWN);
  });

  it("a number that f16 does not hold, when it is to be held so", async () => {
    const files = await withTensor(DOWN, () => ({ bytes: damaged(9, 70_000) }));
    const error = await refusal(files, { dtype: "f16" });
    expect(error.code).toBe("checkpoint_invalid");
    expect(error.message).toContain(DOWN);
    expect(error.message).toContain("element 9");
    const { model } = await loadModelFiles(memoryFiles(files), { device: on });
    model[Symbol.dispose]();
  });

  it("a file that is cut off, a header without end, no file at all", async () => {
    const bytes = golden.get(WEIGHTS) as Uint8Array;
    for (const length of [0, 7, 100, bytes.length - 1]) {
      const error = await refusal(withFile(WEIGHTS, bytes.slice(0, length)));
      expect(error.code).toBe("file_invalid");
      expect(error.message).toContain(WEIGHTS);
    }
    const error = await refusal(new Map([...golden].filter(([name]) => name !== WEIGHTS)));
    expect(error.code).toBe("file_invalid");
    expect(error.message).toContain(WEIGHTS);
  });

  it("shards of which one is missing, cut off, or another's", async () => {
    const sharded = await goldenModelFiles("llama2");
    const third = "model-00003-of-00006.safetensors";
    const fourth = sharded.get("model-00004-of-00006.safetensors") as Uint8Array;
    const half = (sharded.get(third) as Uint8Array).slice(0, 5000);
    const without = new Map([...sharded].filter(([name]) => name !== third));
    for (const files of [
      without,
      new Map([...without, [third, half]]),
      new Map([...without, [third, fourth]]),
    ]) {
      const error = await refusal(files);
      expect(error.code).toBe("file_invalid");
      expect(error.message).toContain(third);
    }
  });
});

describe("a config.json of another model", () => {
  it.each<[tensor: string, change: object]>([
    ["model.embed_tokens.weight", { vocab_size: 97 }],
    ["model.embed_tokens.weight", { hidden_size: 1e9, head_dim: 8 }],
    ["model.layers.2.input_layernorm.weight", { num_hidden_layers: 3 }],
    ["model.layers.2.input_layernorm.weight", { num_hidden_layers: 1024 }],
    ["model.layers.0.self_attn.q_proj.weight", { head_dim: 16 }],
    ["model.layers.0.self_attn.k_proj.weight", { num_key_value_heads: 1 }],
    ["model.layers.0.mlp.gate_proj.weight", { intermediate_size: 2e9 }],
    ["model.layers.0.self_attn.q_proj.bias", { attention_bias: true }],
    ["model.layers.0.mlp.gate_proj.bias", { mlp_bias: true }],
    ["lm_head.weight", { tie_word_embeddings: false }],
    ["model.layers.0.self_attn.q_norm.weight", { model_type: "qwen3", head_dim: 8 }],
    ["model.layers.0.pre_feedforward_layernorm.weight", { model_type: "gemma2" }],
    ["transformer.wte.weight", { model_type: "gpt2" }],
  ])("misses %s with %j", async (tensor, change) => {
    const error = await refusal(withConfig(change));
    expect(error.code).toBe("checkpoint_invalid");
    expect(error.message).toContain(WEIGHTS);
    expect(error.message).toContain(tensor);
  });

  it("asks for more than there is, and takes no memory for it", async () => {
    const started = performance.now();
    expect((await refusal(withConfig({ num_hidden_layers: 1e9 }))).code).toBe("config_invalid");
    for (const sizes of [{ hidden_size: 2 ** 30 }, { intermediate_size: 2e9 }])
      expect((await refusal(withConfig({ vocab_size: 2e9, ...sizes }))).code).toBe(
        "checkpoint_invalid",
      );
    expect(performance.now() - started).toBeLessThan(5000);
  });

  it.each<[code: string, field: string, content: string | object]>([
    ["model_unsupported", "model_type", { model_type: "bert" }],
    ["model_unsupported", "hidden_act", { hidden_act: "relu" }],
    ["model_unsupported", "rope_type", { rope_parameters: { rope_type: "yarn" } }],
    ["config_invalid", "hidden_size", { hidden_size: "many" }],
    ["file_invalid", "config.json", "[1, 2]"],
    ["file_invalid", "config.json", "{ not JSON"],
    ["file_invalid", "config.json", ""],
    ["file_invalid", "config.json", '{"hidden_size": NaN}'],
  ])("is refused: %s for %s", async (code, field, content) => {
    const files =
      typeof content === "string" ? withFile("config.json", content) : withConfig(content);
    const error = await refusal(files);
    expect(error.code).toBe(code);
    expect(error.message).toContain(field);
  });

  it("is missing, or not UTF-8", async () => {
    const without = new Map([...golden].filter(([name]) => name !== "config.json"));
    for (const files of [without, withFile("config.json", Uint8Array.of(0x7b, 0xff, 0x7d))]) {
      const error = await refusal(files);
      expect(error.code).toBe("file_invalid");
      expect(error.message).toContain("config.json");
    }
  });
});

describe("the small files", () => {
  it.each<[code: string, name: string, content: string | object]>([
    ["tokenizer_invalid", "tokenizer.json", "{"],
    ["tokenizer_invalid", "tokenizer.json", { model: null }],
    ["file_invalid", "tokenizer_config.json", "[]"],
    ["template_invalid", "chat_template.jinja", "{% if %}"],
    ["config_invalid", "generation_config.json", { temperature: "hot" }],
    ["config_invalid", "generation_config.json", { top_p: 0 }],
    ["config_invalid", "generation_config.json", { do_sample: 1 }],
    ["config_invalid", "generation_config.json", { eos_token_id: [2, "</s>"] }],
    ["config_invalid", "generation_config.json", { max_new_tokens: 0 }],
    ["file_invalid", "generation_config.json", "null"],
  ])("%s: %s of %j", async (code, name, content) => {
    const error = await refusal(withFile(name, content));
    expect(error.code).toBe(code);
    if (code !== "template_invalid") expect(error.message).toContain(name);
  });

  it("a tokenizer with tokens that the model has not", async () => {
    const vocab = Object.fromEntries(Array.from({ length: 97 }, (_, i) => [`t${i}`, i]));
    const tokenizer = { model: { type: "BPE", vocab, merges: [] } };
    const error = await refusal(withFile("tokenizer.json", tokenizer));
    expect(error.code).toBe("tokenizer_mismatch");
    expect(error.message).toContain("96");
  });
});

it("a model that is too large for the adapter is refused before anything is sent", async () => {
  const small: Device = Object.create(on, { maxBufferBytes: { value: 10_000 } });
  const error = await refusal(golden, { device: small });
  expect(error.code).toBe("device_limit");
  expect(error.message).toContain("embedding.weight");
});

it("a reader that fails in the middle leaves nothing", async () => {
  const files = memoryFiles(golden);
  let reads = 0;
  const before = on.liveBytes;
  let during = 0;
  const error = await errorOf(
    loadModelFiles(
      {
        open: async (name) => {
          const source = await files.open(name);
          if (name !== WEIGHTS || !source) return source;
          const read = async (offset: number, length: number): Promise<Uint8Array> => {
            if (++reads === 12) throw new Error("the cable was pulled");
            return source.read(offset, length);
          };
          return { ...source, read };
        },
      },
      { device: on, onProgress: () => (during = Math.max(during, on.liveBytes)) },
    ),
  );
  expect(error.message).toBe("the cable was pulled");
  expect(during).toBeGreaterThan(before);
  expect(on.liveBytes).toBe(before);
});

it("progress ends at the bytes of all tensors", async () => {
  const seen: [done: number, total: number][] = [];
  const { model }: { model: CausalLM } = await loadModelFiles(memoryFiles(golden), {
    device: on,
    onProgress: (done, total) => seen.push([done, total]),
  });
  const { tensors } = await openCheckpoint(memoryFiles(golden));
  const total = [...tensors.values()].reduce((n, { entry }) => n + entry.end - entry.begin, 0);
  expect(seen.at(-1)).toEqual([total, total]);
  expect(seen.map(([done]) => done)).toEqual(seen.map(([done]) => done).sort((a, b) => a - b));
  model[Symbol.dispose]();
});
