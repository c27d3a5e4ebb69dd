import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type CausalLM,
  chainForest,
  compile,
  createModel,
  type Device,
  FAMILIES,
  type FamilyName,
  loadModelFiles,
  type ModelConfig,
  memoryFiles,
  namedParameters,
  openCheckpoint,
  readTensor,
  type SafetensorsTensor,
  type State,
  safetensorsParts,
  type Tensor,
  tensor,
} from "../../../engine/index.ts";
import { rejectionOf } from "../../support/errors.ts";
import { goldenModels, loadGolden } from "../../support/golden-models.ts";
import { device } from "../../support/gpu.ts";
import { type Files, goldenModelFiles, loadFiles, savedFiles } from "../../support/model-files.ts";
import { joined } from "../../support/safetensors.ts";

let on: Device;
beforeAll(async () => {
  on = await device();
});
afterAll(() => on.idle());

/** The names of the files that are not the same, with the first byte that differs. config.json counts as what it says. */
function differences(got: Files, expected: Files): string[] {
  return [...new Set([...got.keys(), ...expected.keys()])].flatMap((name) => {
    const [a, b] = [got.get(name), expected.get(name)];
    if (!a || !b) return [`${name} in one of them`];
    if (name === "config.json") return textOf(a) === textOf(b) ? [] : [name];
    const at = a.findIndex((byte, i) => byte !== b[i]);
    return at < 0 && a.length === b.length ? [] : [`${name} at ${at} of ${b.length}`];
  });
}

function textOf(json: Uint8Array): string {
  return JSON.stringify(JSON.parse(new TextDecoder().decode(json)));
}

/** Tensors of the files of a model by name: dtype and bytes, as text. */
async function tensorsIn(files: Files): Promise<Map<string, string>> {
  const { tensors } = await openCheckpoint(memoryFiles(files));
  const texts = new Map<string, string>();
  for (const [name, { source, entry }] of tensors)
    texts.set(name, `${entry.dtype} ${await joined(readTensor(source, entry))}`);
  return texts;
}

async function changedTensors(got: Files, from: Files): Promise<string[]> {
  const [now, before] = [await tensorsIn(got), await tensorsIn(from)];
  expect([...now.keys()]).toEqual([...before.keys()]);
  return [...now].filter(([name, values]) => before.get(name) !== values).map(([name]) => name);
}

/** A checkpoint of the same tensors, made by `change` from each of them. */
async function rewritten(
  files: Files,
  change: (tensor: SafetensorsTensor) => readonly SafetensorsTensor[],
): Promise<Files> {
  const { shards } = await openCheckpoint(memoryFiles(files));
  const again = new Map(files);
  for (const { name, source, header } of shards) {
    const tensors = [...header.entries.values()].flatMap((entry) =>
      change({ ...entry, bytes: () => readTensor(source, entry) }),
    );
    again.set(name, await joined(safetensorsParts(tensors, header.metadata)));
  }
  return again;
}

function stateOf({ transformer }: CausalLM, path: string): State {
  return namedParameters(transformer).get(path) as State;
}

async function logitsOf({ transformer }: CausalLM, ids: readonly number[]): Promise<Float32Array> {
  const forest = chainForest([ids.length]);
  const run = compile((input: Tensor) => transformer.logits(transformer.hidden(input, forest)), {
    device: on,
  });
  return (await (await run(tensor(Uint32Array.from(ids)))).read()) as Float32Array;
}

describe("a checkpoint of the original library, loaded and saved", () => {
  it.each(goldenModels)("%s: every file is the same to the byte", async (name) => {
    const files = await goldenModelFiles(name);
    const model = await loadFiles(on, files);
    expect(differences(await savedFiles(model), files)).toEqual([]);
    model[Symbol.dispose]();
  });

  it.each(["f16", "bf16"] as const)(
    "is the same to the byte when it was held in %s, which has fewer digits than some",
    async (dtype) => {
      for (const name of ["llama2", "smollm2", "qwen2"]) {
        const files = await goldenModelFiles(name);
        const model = await loadFiles(on, files, { dtype });
        expect(stateOf(model, "layers.0.mlp.down.weight").dtype).toBe(dtype);
        expect(differences(await savedFiles(model), files)).toEqual([]);
        model[Symbol.dispose]();
      }
    },
  );

  it("is the same when its files are Blobs, as a page has them", async () => {
    const files = await goldenModelFiles("llama2");
    const blobs = new Map([...files].map(([name, bytes]) => [name, new Blob([bytes.slice()])]));
    const { model, tokenizer } = await loadModelFiles(memoryFiles(blobs), { device: on });
    expect(tokenizer).toBeUndefined();
    expect(differences(await savedFiles(model), files)).toEqual([]);
    model[Symbol.dispose]();
  });

  it("keeps names without prefix, and tensors that the model does not use", async () => {
    const files = await rewritten(await goldenModelFiles("gpt2"), (t) => {
      const name = t.name.replace(/^transformer\./, "");
      const mask = { dtype: "I64", shape: [2], bytes: () => new Uint8Array(16).fill(7) } as const;
      // what looks like a parameter of the model, but is not the one that it was read from
      const other = { ...t, name: "transformer.ln_f.bias.old" };
      return name === "ln_f.bias"
        ? [{ ...mask, name: "h.0.attn.bias" }, { ...t, name }, other]
        : [{ ...t, name }];
    });
    const model = await loadFiles(on, files);
    expect(differences(await savedFiles(model), files)).toEqual([]);
    stateOf(model, "norm.bias").write(on, new Float32Array(32).fill(1));
    expect(await changedTensors(await savedFiles(model), files)).toEqual(["ln_f.bias"]);
    model[Symbol.dispose]();
  });

  it("differs in the tensors of a parameter that was changed, and in no other", async () => {
    const files = await goldenModelFiles("llama3");
    const model = await loadFiles(on, files);
    const qkv = stateOf(model, "layers.1.attention.qkv.weight");
    const double = compile(
      () => {
        qkv.assign(qkv.mul(2));
        return {};
      },
      { device: on },
    );
    await double();
    const saved = await savedFiles(model);
    expect(await changedTensors(saved, files)).toEqual(
      ["k", "q", "v"].map((part) => `model.layers.1.self_attn.${part}_proj.weight`),
    );
    const again = await loadFiles(on, saved);
    const values = await stateOf(again, "layers.1.attention.qkv.weight").read();
    expect(values).toEqual(await qkv.read());
    for (const each of [model, again]) each[Symbol.dispose]();
  });

  it("takes f16 weights that were changed from the GPU, the others from the file", async () => {
    const files = await goldenModelFiles("llama3");
    const model = await loadFiles(on, files, { dtype: "f16" });
    const down = stateOf(model, "layers.0.mlp.down.weight");
    down.write(on, new Uint16Array(down.size).fill(0x3c00));
    expect(await changedTensors(await savedFiles(model), files)).toEqual([]);
    model.changed.add(down);
    const saved = await savedFiles(model);
    expect(await changedTensors(saved, files)).toEqual(["model.layers.0.mlp.down_proj.weight"]);
    expect((await tensorsIn(saved)).get("model.layers.0.mlp.down_proj.weight")).toMatch(
      /^F32 0,0,128,63,0,0,128,63,/,
    );
    model[Symbol.dispose]();
  });

  it("is written in another dtype, from the file where that has more digits", async () => {
    const files = await goldenModelFiles("smollm2");
    const [wide, narrow] = [
      await loadFiles(on, files),
      await loadFiles(on, files, { dtype: "f16" }),
    ];
    for (const dtype of ["F32", "F16"] as const) {
      const saved = await savedFiles(narrow, { dtype });
      expect(differences(saved, await savedFiles(wide, { dtype }))).toEqual([]);
      const says = dtype === "F32" ? "float32" : "float16";
      expect(textOf(saved.get("config.json") as Uint8Array)).toContain(`"dtype":"${says}"`);
    }
    const again = await loadFiles(on, await savedFiles(narrow, { dtype: "F32" }));
    expect(differences(await savedFiles(again, { dtype: "BF16" }), files)).toEqual([]);
    again[Symbol.dispose]();
    for (const model of [wide, narrow]) model[Symbol.dispose]();
  });

  it("is not written where a value is none, or none of the dtype", async () => {
    const model = await loadGolden(on, "llama3");
    const norm = stateOf(model, "norm.weight");
    norm.write(on, new Float32Array(32).fill(70_000));
    await savedFiles(model);
    expect(await rejectionOf(savedFiles(model, { dtype: "F16" }))).toBe("non_finite");
    norm.write(on, new Float32Array(32).fill(Number.NaN));
    expect(await rejectionOf(savedFiles(model))).toBe("non_finite");
    model[Symbol.dispose]();
  });
});

describe("head and embedding", () => {
  const HEAD = "lm_head.weight";
  const TABLE = "model.embed_tokens.weight";
  const withHead = (
    files: Files,
    bytes: (table: SafetensorsTensor) => SafetensorsTensor["bytes"],
  ) =>
    rewritten(files, (t) => (t.name === TABLE ? [{ ...t, name: HEAD, bytes: bytes(t) }, t] : [t]));

  it("are one where the file has both and they are equal: both are saved", async () => {
    const files = await withHead(await goldenModelFiles("llama3"), (table) => table.bytes);
    const model = await loadFiles(on, files);
    expect(model.options.isTied).toBe(true);
    expect(differences(await savedFiles(model), files)).toEqual([]);
    const table = stateOf(model, "embedding.weight");
    table.write(on, new Float32Array(table.size).fill(0.5));
    expect(await changedTensors(await savedFiles(model), files)).toEqual([HEAD, TABLE]);
    model[Symbol.dispose]();
  });

  it("are two where they differ, whatever config.json says: as in the original library", async () => {
    const zeros = new Uint8Array(96 * 32 * 4);
    const files = await withHead(await goldenModelFiles("llama3"), () => () => zeros);
    const model = await loadFiles(on, files);
    expect(model.options.isTied).toBe(false);
    expect((await logitsOf(model, [5, 6, 7])).every((logit) => logit === 0)).toBe(true);
    expect(differences(await savedFiles(model), files)).toEqual([]);
    model[Symbol.dispose]();
  });

  it("are one where the file has the head only", async () => {
    const golden = await goldenModelFiles("llama3");
    const files = await rewritten(golden, (t) => [t.name === TABLE ? { ...t, name: HEAD } : t]);
    const [model, original] = [await loadFiles(on, files), await loadFiles(on, golden)];
    expect(await logitsOf(model, [5, 6, 7])).toEqual(await logitsOf(original, [5, 6, 7]));
    expect(differences(await savedFiles(model), files)).toEqual([]);
    for (const each of [model, original]) each[Symbol.dispose]();
  });
});

/** A model of each family with what only it can say; sizes are odd where they may be. */
const MODELS: Readonly<
  Record<FamilyName, Omit<ModelConfig, "vocab" | "layers" | "heads" | "width">>
> = {
  llama: { kvHeads: 1, headDim: 8, mlpWidth: 37, hasMlpBias: true, isTied: false },
  mistral: { kvHeads: 3, headDim: 12, window: 5 },
  qwen2: { layerAttention: [{ window: 0 }, { window: 5 }], isTied: true },
  qwen3: { kvHeads: 3, headDim: 16, hasBias: false, rope: { theta: 1e6 } },
  gemma2: { headDim: 16, attentionSoftcap: 20, logitSoftcap: 10, attentionScale: 0.2 },
  gemma3_text: {
    ...{ headDim: 16, rope: { theta: 1e6 } },
    layerAttention: [{ window: 5, rope: { theta: 1e4 } }, { window: 0 }],
  },
  gpt2: { mlpWidth: 50, maxDepth: 40 },
};
const SIZES = { vocab: 61, layers: 2, heads: 3, width: 36 } as const;

describe("a model from scratch", () => {
  it.each(Object.keys(FAMILIES) as FamilyName[])("%s: is read back bit for bit", async (family) => {
    const model = createModel({ family, ...SIZES, ...MODELS[family], seed: 7, initStd: 0.2 });
    const ids = Array.from({ length: 12 }, (_, i) => (i * 17) % SIZES.vocab);
    const logits = await logitsOf(model, ids);
    expect(logits.length).toBe(12 * SIZES.vocab);
    expect(logits.every(Number.isFinite)).toBe(true);
    const files = await savedFiles(model);
    const again = await loadFiles(on, files);
    expect(again.config).toEqual(JSON.parse(JSON.stringify(model.config)));
    expect(await logitsOf(again, ids)).toEqual(logits);
    const [theirs, ours] = [namedParameters(again.transformer), namedParameters(model.transformer)];
    expect([...theirs.keys()]).toEqual([...ours.keys()]);
    for (const [path, state] of ours)
      expect(await theirs.get(path)?.read(), path).toEqual(await state.read());
    expect(differences(await savedFiles(again), files)).toEqual([]);
    for (const each of [model, again]) each[Symbol.dispose]();
  });

  it("has the same weights for the same seed, everywhere", async () => {
    const make = async (seed: number): Promise<string> => {
      const model = createModel({ ...SIZES, seed });
      const bytes = (await savedFiles(model)).get("model.safetensors") as Uint8Array<ArrayBuffer>;
      model[Symbol.dispose]();
      const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
      return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
    };
    expect(await make(1)).toBe(await make(1 + 2 ** 32));
    expect(await make(2)).not.toBe(await make(1));
    // Golden: recorded here; another hash means that the models of all seeds are others than they were
    expect(await make(1)).toBe("76bf4ff069e8337442fdb2528323ca5bfce8b00cae23a451c560a229b1782fae");
  });

  it("is split into files of at most so many bytes", async () => {
    const model = createModel({ ...SIZES, isTied: false });
    const whole = await savedFiles(model);
    expect([...whole.keys()]).toEqual(["model.safetensors", "config.json"]);
    const split = await savedFiles(model, { maxShardBytes: 30_000 });
    const names = [...split.keys()].filter((name) => name.endsWith(".safetensors"));
    expect(names.length).toBeGreaterThan(2);
    expect(names[1]).toBe(`model-00002-of-0000${names.length}.safetensors`);
    for (const name of names) expect(split.get(name)?.length).toBeLessThan(32_000);
    expect(await tensorsIn(split)).toEqual(await tensorsIn(whole));
    const again = await loadFiles(on, split);
    expect(differences(await savedFiles(again), split)).toEqual([]);
    expect(await rejectionOf(savedFiles(model, { maxShardBytes: 0 }))).toBe("argument_invalid");
    for (const each of [model, again]) each[Symbol.dispose]();
  });

  it.each([
    ["f16", "F16", "float16"],
    ["bf16", "BF16", "bfloat16"],
  ] as const)("is held and saved in %s when it is made so", async (weightDtype, dtype, says) => {
    const model = createModel({ ...SIZES, seed: 3, weightDtype });
    const wide = createModel({ ...SIZES, seed: 3 });
    const files = await savedFiles(model);
    expect(textOf(files.get("config.json") as Uint8Array)).toContain(`"dtype":"${says}"`);
    const [narrow, rounded] = [
      await tensorsIn(files),
      await tensorsIn(await savedFiles(wide, { dtype })),
    ];
    for (const [name, values] of narrow)
      if (values.startsWith(dtype)) expect(values, name).toBe(rounded.get(name));
    expect([...narrow.values()].filter((v) => v.startsWith(dtype)).length).toBeGreaterThan(10);
    for (const each of [model, wide]) each[Symbol.dispose]();
  });
});

it("leaves nothing on the GPU", async () => {
  const before = on.liveBytes;
  const model = await loadGolden(on, "qwen3");
  expect(on.liveBytes).toBeGreaterThan(before);
  await savedFiles(model);
  model[Symbol.dispose]();
  expect(on.liveBytes).toBe(before);
});
