import { beforeAll, describe, expect, test } from "vitest";
import { expandShader } from "../../../engine/gpu/shader.ts";
import { shaderSource } from "../../../engine/graph/shader-source.ts";
import type { Device } from "../../../engine/index.ts";
import { ADAPTERS, dispatches } from "../../support/dispatches.ts";
import { device } from "../../support/gpu.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

/** Compilers check a module at once, and make machine code only for a pipeline: all texts take a second or two. */
describe("this adapter's compiler", () => {
  test.each(Object.keys(ADAPTERS))(
    "has nothing to say about any kernel text for %s",
    async (adapter) => {
      const texts = new Map<string, string>();
      for (const { name, options } of dispatches(ADAPTERS[adapter] ?? expect.fail(adapter))) {
        const text = expandShader(name, shaderSource(name), options);
        if (isEnabled(text)) texts.set(text, `${name} ${JSON.stringify(options.constants)}`);
      }
      expect(texts.size).toBeGreaterThan(50);
      for (const [code, label] of texts) {
        gpu.gpu.pushErrorScope("validation");
        const module = gpu.gpu.createShaderModule({ label, code });
        const { messages } = await gpu.wait(() => module.getCompilationInfo());
        const error = await gpu.wait(() => gpu.gpu.popErrorScope());
        expect(messages.map((m) => `${label}:${m.lineNum} ${m.message}`)).toEqual([]);
        expect(error).toBeNull();
      }
    },
  );
});

/** Whether the device has what the text's `enable` lines ask for; `kernel-pipelines.node.test.ts` takes all texts. */
function isEnabled(text: string): boolean {
  const enabled = [...text.matchAll(/^enable (\w+);/gm)].map((m) => m[1] ?? "");
  const features: Record<string, string> = {
    f16: "shader-f16",
    chromium_experimental_subgroup_matrix: "chromium-experimental-subgroup-matrix",
  };
  const named = enabled.map((name) => features[name] ?? name.replaceAll("_", "-"));
  return named.every((feature) => (gpu.gpu.features as ReadonlySet<string>).has(feature));
}
