/**
 * Mutated model directories: each is refused with a `ForgeError`, or loaded as a model whose weights are numbers. No other
 * exception, and no byte of GPU memory that stays. (The format of the weights alone is fuzzed in test/unit/models.)
 */
import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import {
  createModel,
  type Device,
  ForgeError,
  loadModelFiles,
  memoryFiles,
  modelOptions,
  namedParameters,
} from "../../../engine/index.ts";
import { device } from "../../support/gpu.ts";
import { configIn, type Files, goldenModelFiles, savedFiles } from "../../support/model-files.ts";
import { inBytes, type Mutation, mutations } from "../../support/mutations.ts";

const SEED = 20_260_101;

let on: Device;
let models: readonly Files[];
beforeAll(async () => {
  on = await device();
  const sizes = { vocab: 12, layers: 2, width: 16, heads: 2, mlpWidth: 8, maxDepth: 32 };
  const made = [
    createModel({ ...sizes, family: "gpt2" }),
    createModel({ ...sizes, family: "qwen3", headDim: 8, isTied: false }),
  ];
  const saved = await Promise.all(made.map((model) => savedFiles(model)));
  for (const model of made) model[Symbol.dispose]();
  models = [...saved, await goldenModelFiles("gemma3"), await goldenModelFiles("llama3")];
});
afterAll(() => on.idle());

type Fields = Record<string, unknown>;

/** Fields that some family reads, beside those that a config has. */
const FIELDS = [
  ...["model_type", "layer_types", "sliding_window", "use_sliding_window", "max_window_layers"],
  ...[
    "rope_scaling",
    "rope_parameters",
    "rope_theta",
    "head_dim",
    "num_key_value_heads",
    "n_inner",
  ],
  ...["attention_bias", "mlp_bias", "tie_word_embeddings", "quantization_config", "hidden_act"],
  ...["final_logit_softcapping", "query_pre_attn_scalar", "rms_norm_eps", "partial_rotary_factor"],
  ...["original_max_position_embeddings", "max_position_embeddings", "vocab_size", "hidden_size"],
];

const junk: fc.Arbitrary<unknown> = fc.oneof(
  fc.nat(40),
  fc.constantFrom(-1, 0.5, 1e-320, 1e300, 2 ** 31, 2 ** 53, 1e9, null, true, false, "", {}, []),
  fc.constantFrom("llama", "gemma2", "qwen2", "__proto__", "silu", "linear", "sliding_attention"),
  fc.constantFrom({ rope_type: "linear", factor: 2 }, { type: "llama3" }, { full_attention: 1 }),
  fc.array(fc.constantFrom("sliding_attention", "full_attention", 3), { maxLength: 3 }),
);

/** In the fields of a config.json: one replaced or added, taken out, or given another's value. */
const inFields = fc.oneof(
  fc.tuple(fc.nat(), junk).map(([at, value]) => (config: Fields) => ({
    ...config,
    [keyOf(config, at)]: value,
  })),
  fc.tuple(fc.constantFrom(...FIELDS), junk).map(([key, value]) => (config: Fields) => ({
    ...config,
    [key]: value,
  })),
  fc.nat().map((at) => (config: Fields) => ({ ...config, [keyOf(config, at)]: undefined })),
  fc.tuple(fc.nat(), fc.nat()).map(([to, from]) => (config: Fields) => ({
    ...config,
    [keyOf(config, to)]: config[keyOf(config, from)],
  })),
);

function keyOf(config: Fields, at: number): string {
  const keys = Object.keys(config);
  return keys[at % keys.length] ?? "hidden_size";
}

/** One to three mutations of a config.json, of its fields or of its bytes. */
const inConfig: fc.Arbitrary<Mutation> = fc.oneof(
  { arbitrary: inBytes, weight: 1 },
  {
    arbitrary: fc.array(inFields, { minLength: 1, maxLength: 3 }).map(
      (changes): Mutation =>
        (file) => {
          const config: Fields = JSON.parse(new TextDecoder().decode(file));
          const changed = changes.reduce((fields, change) => change(fields), config);
          return new TextEncoder().encode(JSON.stringify(changed));
        },
    ),
    weight: 4,
  },
);

/** The files with one of them changed. */
function mutated(files: Files, name: string, steps: readonly Mutation[]): Files {
  const file = files.get(name) as Uint8Array;
  return new Map([...files, [name, steps.reduce((bytes, change) => change(bytes), file)]]);
}

/** Whether the files are a model; anything but a model or a ForgeError fails, and so does memory that stays. */
async function isModel(files: Files): Promise<boolean> {
  const before = on.liveBytes;
  try {
    const { model } = await loadModelFiles(memoryFiles(files), { device: on });
    expect(modelOptions(configIn(files)).family).toBe(model.family);
    expect(namedParameters(model.transformer).size).toBeGreaterThan(4);
    expect(on.liveBytes).toBeGreaterThan(before);
    model[Symbol.dispose]();
    return true;
  } catch (error) {
    if (!(error instanceof ForgeError)) throw error;
    expect(["internal", "validation", "argument_invalid"]).not.toContain(error.code);
    return false;
  } finally {
    expect(on.liveBytes).toBe(before);
  }
}

it("1,500 mutated config.json", { timeout: 60_000 }, async () => {
  let loaded = 0;
  await fc.assert(
    fc.asyncProperty(fc.nat(3), inConfig, async (which, change) => {
      if (await isModel(mutated(models[which] as Files, "config.json", [change]))) loaded++;
    }),
    { numRuns: 1500, seed: SEED },
  );
  // a fuzzer that breaks all that it touches tests nothing behind the first check
  expect(loaded).toBeGreaterThan(150);
  expect(loaded).toBeLessThan(1200);
});

it("1,500 mutated model.safetensors", { timeout: 60_000 }, async () => {
  let loaded = 0;
  await fc.assert(
    fc.asyncProperty(fc.nat(3), mutations, async (which, steps) => {
      if (await isModel(mutated(models[which] as Files, "model.safetensors", steps))) loaded++;
    }),
    { numRuns: 1500, seed: SEED },
  );
  expect(loaded).toBeGreaterThan(100);
  expect(loaded).toBeLessThan(1200);
});
