import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import {
  byteTokenizer,
  type CausalLM,
  createModel,
  type Device,
  LoraModel,
  loadLora,
  memoryFiles,
} from "../../../engine/index.ts";
import { openModelDirectory, saveModelDirectory } from "../../../src/models/directory.ts";
import { exportPolicy } from "../../../src/train/policy/export.ts";
import { openPolicy } from "../../../src/train/policy/policy.ts";
import { openRunPolicy, type RunPolicyOptions } from "../../../src/train/policy/run-policy.ts";
import { temporaryFolder } from "../../support/checkpoints.ts";
import { rejectionOf } from "../../support/errors.ts";
import { device, expectClose } from "../../support/gpu.ts";
import { logitsOf } from "../../support/lora.ts";
import { disturb, SUMS, saveRun, sectionOf } from "../../support/run-folder.ts";

const folder = temporaryFolder("export");
const at = (name: string): string => join(folder, name);
const IDS = Uint32Array.from([1, 10, 2, 11, 3, 14]);

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

const logits = (model: CausalLM): Promise<Float32Array> => logitsOf(model, IDS);

/** A base on disk, with a tokenizer and a template. */
async function saveBase(name: string, dtype: "F32" | "BF16" = "F32"): Promise<string> {
  const sizes = { vocab: 258, layers: 1, width: 16, heads: 2, mlpWidth: 16 };
  using model = createModel({ ...sizes, initStd: 0.2, seed: 4 });
  await saveModelDirectory(model, at(name), {
    dtype,
    files: {
      "tokenizer.json": byteTokenizer({ specialTokens: ["<s>", "</s>"] }),
      "tokenizer_config.json": { eos_token: "</s>" },
      "chat_template.jinja": "{{ messages }}",
    },
  });
  return at(name);
}

describe("a policy made from random weights", () => {
  it("is exported with its tokenizer, and read back the same to the bit", async () => {
    await using policy = await openPolicy(sectionOf(SUMS), { device: gpu });
    const { model, files, tokenizer } = policy;
    await disturb(gpu, model, 3);
    expect(await exportPolicy({ device: gpu, model, files, to: at("sums") })).toBe("hf");
    await using read = await openModelDirectory(at("sums"), { device: gpu });
    expect(await logits(read.model)).toEqual(await logits(model));
    expect(read.model.config).toEqual(model.config);
    expect(read.tokenizer?.encode("12+30=42")).toEqual(tokenizer.encode("12+30=42"));
    expect(read.generation).toMatchObject({ temperature: 1, topK: 0, eosIds: policy.stopIds });
    expect(policy.stopIds).toEqual([14]);
    expect(read.generation.padId).toBe(tokenizer.padId);
  });

  it.each([
    ["bytes", { kind: "bytes" }, [49, 43, 49, 257], 258],
    ["a directory", { kind: "directory", directory: "words" }, [49, 43, 49, 257], 300],
  ])("reads text by %s", async (_, tokenizer, ids, vocab) => {
    mkdirSync(at("words"), { recursive: true });
    const words = byteTokenizer({ specialTokens: ["<pad>", "<eos>"] });
    writeFileSync(join(at("words"), "tokenizer.json"), JSON.stringify(words));
    writeFileSync(join(at("words"), "tokenizer_config.json"), '{"eos_token": "<eos>"}');
    const create = { ...SUMS.create, tokenizer, vocab };
    await using policy = await openPolicy(sectionOf({ create }), { device: gpu, from: folder });
    expect(policy.tokenizer.encode("1+1<eos>")).toEqual(ids);
    expect(policy.stopIds).toEqual([257]);
    expect(policy.model.options.vocab).toBe(vocab);
    expect(Object.keys(policy.files)).toContain("tokenizer_config.json");
  });

  it("must have room for its tokens, and a tokenizer", async () => {
    const opened = (create: object) => openPolicy(sectionOf({ create }), { device: gpu });
    const small = { ...SUMS.create, vocab: 14 };
    expect(await rejectionOf(opened(small))).toBe("tokenizer_mismatch");
    const none = { ...SUMS.create, tokenizer: { kind: "directory", directory: folder } };
    expect(await rejectionOf(opened(none))).toBe("model_not_found");
  });
});

describe("a policy from a directory", () => {
  it("is exported with what lies beside it", async () => {
    const directory = await saveBase("base");
    const section = sectionOf({ directory });
    await using policy = await openPolicy(section, { device: gpu });
    await disturb(gpu, policy.model, 6);
    await exportPolicy({ ...policy, device: gpu, to: at("trained") });
    await using read = await openModelDirectory(at("trained"), { device: gpu });
    expect(await logits(read.model)).toEqual(await logits(policy.model));
    expect(readdirSync(at("trained"))).toEqual(readdirSync(directory));
    for (const name of ["tokenizer.json", "config.json", "chat_template.jinja"])
      expect(readFileSync(join(at("trained"), name), "utf8")).toBe(
        readFileSync(join(directory, name), "utf8"),
      );
  });

  it("is written in the dtype that is asked for, else in its own", async () => {
    const directory = await saveBase("narrow", "BF16");
    await using policy = await openPolicy(sectionOf({ directory }), { device: gpu });
    await disturb(gpu, policy.model, 6);
    for (const [dtype, tolerance] of [
      [undefined, 0.05],
      ["F16", 0.01],
      ["F32", 0],
    ] as const) {
      const to = at(`narrow-${dtype}`);
      await exportPolicy({ ...policy, device: gpu, to, ...(dtype && { dtype }) });
      await using read = await openModelDirectory(to, { device: gpu });
      const [got, expected] = [await logits(read.model), await logits(policy.model)];
      expectClose(got, expected, { abs: tolerance, rel: tolerance });
      const stored = read.model.checkpoint?.shards[0]?.header.entries.values().next().value;
      expect(stored?.dtype).toBe(dtype ?? "BF16");
      if (dtype !== "F32") expect(got).not.toEqual(expected);
    }
  });

  it("needs a tokenizer there", async () => {
    using model = createModel({ vocab: 8, layers: 1, width: 8, heads: 1, mlpWidth: 8 });
    await saveModelDirectory(model, at("mute"));
    const before = gpu.liveBytes;
    const section = sectionOf({ directory: "mute" });
    expect(await rejectionOf(openPolicy(section, { device: gpu, from: folder }))).toBe(
      "model_not_found",
    );
    expect(gpu.liveBytes).toBe(before);
  });
});

describe("adapters", () => {
  const lora = { rank: 3, alpha: 6, targets: ["q_proj", "down_proj"] };

  it("are exported alone, or merged", async () => {
    const directory = await saveBase("under");
    await using policy = await openPolicy(sectionOf({ directory, lora }), { device: gpu });
    expect(policy.model).toBeInstanceOf(LoraModel);
    await disturb(gpu, policy.model, 8);
    const expected = await logits(policy.model);
    expect(await exportPolicy({ ...policy, device: gpu, to: at("adapter") })).toBe("peft");
    expect(await exportPolicy({ ...policy, device: gpu, to: at("merged"), format: "hf" })).toBe(
      "hf",
    );

    const names = ["adapter_config.json", "adapter_model.safetensors"];
    expect(readdirSync(at("adapter")).sort()).toEqual(names);
    const config = JSON.parse(readFileSync(join(at("adapter"), names[0] as string), "utf8"));
    expect(config).toMatchObject({ r: 3, lora_alpha: 6, base_model_name_or_path: directory });
    const files = names.map((name) => [name, readFileSync(join(at("adapter"), name))] as const);
    await using base = await openModelDirectory(directory, { device: gpu });
    using read = await loadLora(base.model, memoryFiles(new Map(files)));
    expect(await logits(read)).toEqual(expected);

    await using merged = await openModelDirectory(at("merged"), { device: gpu });
    expectClose(await logits(merged.model), expected, { abs: 1e-5, rel: 1e-5 });
    expect(await logits(base.model)).not.toEqual(expected);
    expect(readdirSync(at("merged"))).toContain("chat_template.jinja");
  });

  it("begin by the seed", async () => {
    const section = sectionOf({ ...SUMS, lora });
    const first = async (seed: number): Promise<unknown> => {
      await using policy = await openPolicy(section, { device: gpu, seed });
      return await (policy.model as LoraModel).adapters[0]?.layer.adapter.a.read();
    };
    expect(await first(1)).toEqual(await first(1));
    expect(await first(1)).not.toEqual(await first(2));
  });

  it("that are none cannot be exported as such, nor put on modules that are none", async () => {
    await using policy = await openPolicy(sectionOf(SUMS), { device: gpu });
    const exported = exportPolicy({ ...policy, device: gpu, to: at("no"), format: "peft" });
    expect(await rejectionOf(exported)).toBe("argument_invalid");
    const before = gpu.liveBytes;
    const odd = sectionOf({ ...SUMS, lora: { targets: ["nothing"] } });
    expect(await rejectionOf(openPolicy(odd, { device: gpu }))).toBe("argument_invalid");
    expect(gpu.liveBytes).toBe(before);
  });
});

describe("targets", () => {
  it("are replaced if they are such directories, and if that is asked for", async () => {
    await using policy = await openPolicy(sectionOf({ ...SUMS, lora: {} }), { device: gpu });
    const write = (to: string, format: "hf" | "peft", overwrite: boolean) =>
      exportPolicy({ ...policy, device: gpu, to: at(to), format, overwrite });
    for (const [format, other] of [
      ["hf", "peft"],
      ["peft", "hf"],
    ] as const) {
      await write(format, format, false);
      expect(await rejectionOf(write(format, format, false))).toBe("argument_invalid");
      expect(await rejectionOf(write(format, other, true))).toBe("argument_invalid");
      writeFileSync(join(at(format), "old.txt"), "");
      await write(format, format, true);
      expect(readdirSync(at(format))).not.toContain("old.txt");
    }
  });
});

describe("a run", () => {
  const opened = (path: string, options: Partial<RunPolicyOptions> = {}) =>
    openRunPolicy(path, { device: gpu, ...options });

  it("gives the policy of any of its checkpoints", async () => {
    const run = at("run");
    await saveRun(run, gpu, sectionOf(SUMS));
    const checkpoint = (step: number): string => join(run, "checkpoints", `step-00000${step}`);
    await using policy = await openPolicy(sectionOf(SUMS), { device: gpu });
    const expected: Float32Array[] = [];
    for (const step of [1, 2]) {
      await disturb(gpu, policy.model, step);
      expected.push(await logits(policy.model));
    }
    for (const [path, choice, step] of [
      [run, undefined, 2],
      [folder, undefined, 2], // its newest run
      [run, "latest", 2],
      [run, "best", 1],
      [run, { step: 1 }, 1],
      [checkpoint(1), undefined, 1],
    ] as const) {
      await using restored = await opened(path, choice && { choice });
      expect(restored.checkpoint).toEqual({ path: checkpoint(step), step });
      expect(await logits(restored.model)).toEqual(expected[step - 1]);
    }
    const before = gpu.liveBytes;
    const failing = async (path: string, options?: Partial<RunPolicyOptions>) =>
      rejectionOf(opened(path, options));
    expect(await failing(run, { choice: { step: 3 } })).toBe("checkpoint_invalid");
    expect(await failing(run, { base: folder })).toBe("argument_invalid");
    expect(await failing(checkpoint(1), { choice: "best" })).toBe("argument_invalid");
    rmSync(join(run, "checkpoints", "best.json"));
    expect(await failing(run, { choice: "best" })).toBe("checkpoint_invalid");
    expect(await failing(at("none"))).toBe("run_not_found");
    writeFileSync(join(run, "run.json"), JSON.stringify({ config: { model: { lora: 3 } } }));
    expect(await failing(run)).toBe("file_invalid");
    writeFileSync(join(run, "run.json"), JSON.stringify({ config: { model: { create: null } } }));
    expect(await failing(run)).toBe("config_invalid");
    const wide = { create: { ...SUMS.create, width: 24 } };
    writeFileSync(join(run, "run.json"), JSON.stringify({ config: { model: wide } }));
    expect(await failing(run)).toBe("checkpoint_invalid");
    expect(gpu.liveBytes).toBe(before);
  });

  it("finds its base where it lies now", async () => {
    const directory = await saveBase("there");
    await saveRun(at("moved"), gpu, sectionOf({ directory, lora: {} }));
    const base = await saveBase("here");
    rmSync(directory, { recursive: true });
    expect(await rejectionOf(opened(at("moved")))).toBe("model_not_found");
    await using policy = await opened(at("moved"), { base });
    expect(policy.model).toBeInstanceOf(LoraModel);
    expect(policy.from?.path).toBe(base);
  });
});
