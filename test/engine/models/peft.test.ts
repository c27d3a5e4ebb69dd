import { afterAll, describe, expect, it } from "vitest";
import {
  bytesSource,
  loadLora,
  loraFiles,
  memoryFiles,
  parametersOf,
  type State,
} from "../../../engine/index.ts";
import { readSafetensorsHeader } from "../../../engine/models/safetensors.ts";
import { rejectionOf } from "../../support/errors.ts";
import {
  adapterExpected,
  adapterFiles,
  goldenAdapters,
  loadGoldenAdapter,
} from "../../support/golden-adapters.ts";
import { loadGolden } from "../../support/golden-models.ts";
import { device } from "../../support/gpu.ts";
import { largest, logitsOf, randomAdapters, saved, valuesOf } from "../../support/lora.ts";

const gpu = await device();
afterAll(() => gpu.idle());

const parsed = (bytes: Uint8Array | undefined): Record<string, unknown> =>
  JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;

describe.each(goldenAdapters)("the PEFT directory for %s", (name) => {
  it("gives PEFT's logits", async () => {
    using base = await loadGolden(gpu, name);
    using policy = await loadGoldenAdapter(base, name);
    const { ids, tokens, logits } = await adapterExpected(name);
    expect(largest(await logitsOf(policy, ids, tokens), logits)).toBeLessThan(1e-4);
    expect(largest(await logitsOf(base, ids, tokens), logits)).toBeGreaterThan(1); // it is no small change
  });

  it("is written as it was read", async () => {
    using base = await loadGolden(gpu, name);
    using policy = await loadGoldenAdapter(base, name);
    const [read, written] = [await adapterFiles(name), await saved(loraFiles(policy))];
    expect([...written.keys()]).toEqual([...read.keys()]);
    const [config, weights] = ["adapter_config.json", "adapter_model.safetensors"];
    expect(written.get(weights)).toEqual(read.get(weights));
    expect(parsed(written.get(config))).toEqual(parsed(read.get(config)));
  });
});

describe("loraFiles", () => {
  it("writes new adapters so that they are read back, with PEFT's names", async () => {
    using base = await loadGolden(gpu, "gpt2");
    using policy = randomAdapters(base, {
      ...{ rank: 3, alpha: 5, targets: ["c_attn", "mlp.c_proj"], useRslora: true },
      ...{ rankPattern: { "h.1.attn.c_attn": 2 }, alphaPattern: { c_proj: 0.5 } },
    });
    const files = await saved(loraFiles(policy, { baseName: "openai-community/gpt2" }));
    expect(parsed(files.get("adapter_config.json"))).toEqual({
      ...{ peft_type: "LORA", task_type: "CAUSAL_LM", r: 3, lora_alpha: 5, lora_dropout: 0 },
      ...{ target_modules: ["c_attn", "mlp.c_proj"], use_rslora: true, bias: "none" },
      ...{ rank_pattern: { "h.1.attn.c_attn": 2 }, alpha_pattern: { c_proj: 0.5 } },
      ...{ init_lora_weights: true, inference_mode: true, fan_in_fan_out: true },
      base_model_name_or_path: "openai-community/gpt2",
    });
    const weights = files.get("adapter_model.safetensors") as Uint8Array;
    const { entries, metadata } = await readSafetensorsHeader(bytesSource("written", weights));
    expect(metadata).toEqual({ format: "pt" });
    const shapes = [...entries.values()].map(({ name, dtype, shape }) => [name, dtype, shape]);
    const module = "base_model.model.transformer.h";
    expect(shapes).toEqual([
      [`${module}.0.attn.c_attn.lora_A.weight`, "F32", [3, 32]],
      [`${module}.0.attn.c_attn.lora_B.weight`, "F32", [96, 3]],
      [`${module}.0.mlp.c_proj.lora_A.weight`, "F32", [3, 128]],
      [`${module}.0.mlp.c_proj.lora_B.weight`, "F32", [32, 3]],
      [`${module}.1.attn.c_attn.lora_A.weight`, "F32", [2, 32]],
      [`${module}.1.attn.c_attn.lora_B.weight`, "F32", [96, 2]],
      [`${module}.1.mlp.c_proj.lora_A.weight`, "F32", [3, 128]],
      [`${module}.1.mlp.c_proj.lora_B.weight`, "F32", [32, 3]],
    ]);
    using again = await loadLora(base, memoryFiles(files));
    expect(await valuesOf(parametersOf(again))).toEqual(await valuesOf(parametersOf(policy)));
    expect(await logitsOf(again)).toEqual(await logitsOf(policy));
    expect(await saved(loraFiles(again))).toEqual(files);
  });

  it("rounds to another dtype when it is asked to, but not to infinity", async () => {
    using base = await loadGolden(gpu, "llama3");
    using policy = randomAdapters(base, { targets: ["o_proj"] });
    const name = "adapter_model.safetensors";
    const narrow = await saved(loraFiles(policy, { dtype: "BF16" }));
    const source = bytesSource(name, narrow.get(name) as Uint8Array);
    const { entries } = await readSafetensorsHeader(source);
    expect(new Set([...entries.values()].map((e) => e.dtype))).toEqual(new Set(["BF16"]));
    using again = await loadLora(base, memoryFiles(narrow));
    const [before, after] = [await logitsOf(policy), await logitsOf(again)];
    expect(largest(before, after)).toBeLessThan(0.1);
    const [, b] = parametersOf(policy) as [State, State];
    b.write(gpu, new Float32Array(b.size).fill(1e6));
    expect(await rejectionOf(saved(loraFiles(policy, { dtype: "F16" })))).toBe("non_finite");
  });
});
