import { describe, expect, test } from "vitest";
import { create } from "webgpu";
import { PipelineCache } from "../../../engine/gpu/pipeline.ts";
import { expandShader } from "../../../engine/gpu/shader.ts";
import { shaderSource } from "../../../engine/graph/shader-source.ts";
import { ADAPTERS, dispatches } from "../../support/dispatches.ts";

/** All that kernels ask for: unlike the adapter of a test machine, Dawn's null backend has it. */
const FEATURES = [
  "shader-f16",
  "subgroups",
  "subgroup-size-control",
  "chromium-experimental-subgroup-matrix",
] as GPUFeatureName[];

/** Kept for the life of the process: Dawn aborts when it is collected before what was made from it. */
const instance = create(["backend=null", "enable-dawn-features=allow_unsafe_apis"]);

/**
 * The null backend makes no machine code: it checks pipelines against limits in no time. A device without required limits
 * has the least that WebGPU allows: 256 invocations, 16 KiB of workgroup memory, 8 storage buffers.
 */
describe("every kernel", () => {
  test.each(Object.entries(ADAPTERS))("for %s keeps the limits", async (_name, facts) => {
    const adapter = (await instance.requestAdapter()) ?? expect.fail("there is no null backend");
    const gpu = await adapter.requestDevice({ requiredFeatures: FEATURES });
    const errors: string[] = [];
    gpu.onuncapturederror = ({ error }) => errors.push(error.message);
    const pipelines = new PipelineCache(gpu);
    const hasMemory = facts.workgroupStorageBytes <= gpu.limits.maxComputeWorkgroupStorageSize;
    const made = dispatches(facts).map(async ({ name, entry, options }) => {
      const [label, text] = [name, expandShader(name, shaderSource(name), options)];
      if (hasMemory) return await pipelines.get(label, text, entry);
      const { messages } = await gpu.createShaderModule({ label, code: text }).getCompilationInfo();
      return errors.push(...messages.map((m) => `${label}: ${m.message}`));
    });
    expect(made.length).toBeGreaterThan(100);
    await Promise.all(made);
    expect(errors).toEqual([]);
    gpu.destroy();
  });
});
