import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type CausalLM,
  chainForest,
  compile,
  type Device,
  f32ToBf16,
  f32ToF16,
  grad,
  type LoadOptions,
  namedParameters,
  parametersOf,
  type State,
  type Tensor,
  tensor,
  type WeightDType,
} from "../../../engine/index.ts";
import { expectedOf, loadGolden } from "../../support/golden-models.ts";
import { device, expectClose } from "../../support/gpu.ts";
import { withPacking } from "../../support/held.ts";
import { goldenModelFiles, loadFiles } from "../../support/model-files.ts";
import { TOLERANCES } from "../../support/tolerances.ts";

let on: Device;
beforeAll(async () => {
  on = await device();
});
afterAll(() => on.idle());

function statesOf({ transformer }: CausalLM): [string, State][] {
  return [...namedParameters(transformer)];
}

describe("a checkpoint held in the 16 bits that it has", () => {
  it.each([
    ["smollm2", "bf16", undefined],
    ["qwen2", "f16", undefined],
    // as on an adapter without shader-f16
    ["qwen2", "f16", "f16"],
  ] as const)("%s in %s gives the logits of the original library", async (name, dtype, packing) => {
    const model = await loadGolden(on, name, dtype);
    const { rows, tokens, ids, logits } = await expectedOf(name);
    const forest = chainForest(Array.from({ length: rows }, () => tokens));
    await withPacking(on, { dtype, packing }, async () => {
      using run = compile(
        (input: Tensor) => model.transformer.logits(model.transformer.hidden(input, forest)),
        { device: on },
      );
      const { kernels } = await run.describe(tensor(ids));
      expect(kernels.filter((k) => k.label === "map:cast")).toEqual([]);
      const got = await (await run(tensor(ids))).read();
      const worst = logits.reduce((most, x, i) => Math.max(most, Math.abs(x - Number(got[i]))), 0);
      expect(got.length).toBe(logits.length);
      expect(worst).toBeLessThan(1e-4);
    });
    model[Symbol.dispose]();
  });
});

describe("weights held in 16 bits", () => {
  it("let gradients through to what is held in f32, recomputed or not", async () => {
    const files = await goldenModelFiles("smollm2");
    const ids = tensor(Uint32Array.from({ length: 24 }, (_, i) => 3 + ((i * 7) % 90)));
    const gradients = async (options: Partial<LoadOptions>): Promise<number[]> => {
      const { transformer } = await loadFiles(on, files, options);
      const norms = parametersOf(transformer).filter((p) => p.dtype === "f32" && p.rank === 1);
      using run = compile(
        () => {
          const { logprob } = transformer.score(ids, ids, chainForest([24]));
          return grad(logprob.sum(), norms);
        },
        { device: on },
      );
      const all: number[] = [];
      for (const gradient of await run()) all.push(...(await gradient.read()));
      return all;
    };
    const expected = await gradients({ dtype: "f32" });
    for (const isCheckpointed of [false, true]) {
      const actual = await gradients({ dtype: "bf16", isCheckpointed });
      expectClose(actual, expected, TOLERANCES.parameterGradient);
    }
  });

  it.each(["f16", "bf16"] as const)("of %s take half the memory of f32", async (dtype) => {
    const bytes = async (as: WeightDType): Promise<number> => {
      const before = on.liveBytes;
      const model = await loadGolden(on, "llama3", as);
      const used = on.liveBytes - before;
      const isNarrow = ({ rank }: State): boolean => rank === 2 && as !== "f32";
      const states = statesOf(model).map(([, state]) => state);
      expect(used).toBe(states.reduce((sum, s) => sum + s.size * (isNarrow(s) ? 2 : 4), 0));
      model[Symbol.dispose]();
      return used;
    };
    expect((await bytes(dtype)) / (await bytes("f32"))).toBeLessThan(0.51);
  });

  it.each(["f16", "bf16"] as const)(
    "of %s are those of the file, rounded to nearest even, in their places",
    async (dtype) => {
      // gpt2 is stored as we hold it, llama3 transposed and in parts
      for (const name of ["gpt2", "llama3"]) {
        const [held, wide] = [await loadGolden(on, name, dtype), await loadGolden(on, name)];
        const rounded = dtype === "bf16" ? f32ToBf16 : f32ToF16;
        const others = new Map(statesOf(wide));
        for (const [path, state] of statesOf(held)) {
          const values = (await others.get(path)?.read()) as Float32Array;
          const isMatrix = state.rank === 2;
          expect(state.dtype, path).toBe(isMatrix ? dtype : "f32");
          expect(await state.read(), path).toEqual(isMatrix ? rounded(values) : values);
        }
        for (const model of [held, wide]) model[Symbol.dispose]();
      }
    },
  );
});
