import { beforeAll, describe, expect, it } from "vitest";
import {
  AdamW,
  type CausalLM,
  compile,
  cosine,
  createModel,
  type Device,
  namedParameters,
  type OptimizerState,
  parameter,
  parametersOf,
  SGD,
  type State,
} from "../../../engine/index.ts";
import {
  captureModel,
  captureOptimizer,
  captureTrained,
  type Trained,
} from "../../../src/train/checkpoint/capture.ts";
import type { Checkpoint } from "../../../src/train/checkpoint/contents.ts";
import { readCheckpoint } from "../../../src/train/checkpoint/read.ts";
import { restoreTrained } from "../../../src/train/checkpoint/restore.ts";
import { writeCheckpoint } from "../../../src/train/checkpoint/write.ts";
import { temporaryFolder } from "../../support/checkpoints.ts";
import { errorOf } from "../../support/errors.ts";
import { device, randoms } from "../../support/gpu.ts";
import { randomAdapters, stepOf } from "../../support/lora.ts";

const folder = temporaryFolder("checkpoint-gpu");
const SIZES = { vocab: 96, layers: 1, width: 16, heads: 2, kvHeads: 1, mlpWidth: 24 };

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

function optimizerOf(model: object): AdamW {
  const lr = cosine({ lr: 1e-2, warmupSteps: 3, totalSteps: 20 });
  return new AdamW(gpu, parametersOf(model), { lr, weightDecay: 0.1, clipNorm: 1 });
}

/** Values by name as their bits. */
async function bitsOf(states: Iterable<readonly [string, State]>): Promise<Record<string, string>> {
  const bits: Record<string, string> = {};
  for (const [name, state] of states) {
    const { buffer, byteOffset, byteLength } = await state.read();
    bits[name] = Buffer.from(buffer, byteOffset, byteLength).toString("base64");
  }
  return bits;
}

/** Everything that training changes, and the losses of further steps. */
async function futureOf(model: CausalLM, optimizer: AdamW, steps: number): Promise<unknown> {
  using step = compile(() => stepOf(model, optimizer), { device: gpu });
  const losses: number[] = [];
  for (let i = 0; i < steps; i++) losses.push(await (await step()).item());
  const { stepCount } = await optimizer.save();
  return [losses, stepCount, await bitsOf([...namedParameters(model), ...momentsOf(optimizer)])];
}

function momentsOf({ m, u }: AdamW): [string, State][] {
  return [
    ["m", m],
    ["u", u],
  ];
}

async function written(name: string, trained: Trained): Promise<Checkpoint> {
  const tensors = await captureTrained(trained);
  return readCheckpoint(await writeCheckpoint(`${folder}/${name}`, 1, { tensors, state: {} }));
}

/** Replaces every parameter by noise. */
function perturb(model: object): void {
  const random = randoms(5);
  for (const state of parametersOf(model)) state.write(gpu, random.floats(state.size));
}

describe("training that goes on from a checkpoint", () => {
  it("takes the same steps, bit for bit, in the same objects and in new ones", async () => {
    using model = createModel({ ...SIZES, seed: 1 });
    using optimizer = optimizerOf(model);
    await futureOf(model, optimizer, 3);
    const trained = { models: { policy: model }, optimizers: { optimizer } };
    await using saved = await written("same", trained);
    const expected = await futureOf(model, optimizer, 3);
    expect(await futureOf(model, optimizer, 1)).not.toEqual(expected);
    perturb(model);
    await restoreTrained(gpu, saved, trained);
    expect(await futureOf(model, optimizer, 3)).toEqual(expected);

    using other = createModel({ ...SIZES, seed: 2 });
    using fresh = optimizerOf(other);
    await restoreTrained(gpu, saved, {
      models: { policy: other },
      optimizers: { optimizer: fresh },
    });
    expect(await futureOf(other, fresh, 3)).toEqual(expected);
  });

  it("has the adapters alone in it, over a base that is held in 16 bits", async () => {
    using base = createModel({ ...SIZES, seed: 3, weightDtype: "bf16" });
    using policy = randomAdapters(base, { rank: 2 });
    using optimizer = optimizerOf(policy);
    await futureOf(policy, optimizer, 2);
    const trained = { models: { policy }, optimizers: { optimizer } };
    const untouched = await bitsOf(namedParameters(base));
    await using saved = await written("adapters", trained);
    const names = [...(saved.tensors.get("policy")?.tensors.keys() ?? [])];
    expect(names).toEqual([...namedParameters(policy).keys()]);
    expect(names.every((name) => name.includes("adapter"))).toBe(true);
    const expected = await futureOf(policy, optimizer, 2);
    perturb(policy);
    await restoreTrained(gpu, saved, trained);
    expect(await futureOf(policy, optimizer, 2)).toEqual(expected);
    expect(await bitsOf(namedParameters(base))).toEqual(untouched);
  });

  it("keeps every bit of parameters, and of the arrays of an optimizer", async () => {
    const odd = Uint32Array.of(
      0,
      0x8000_0000,
      1,
      0x7f80_0000,
      0x7f7f_ffff,
      0x0080_0000,
      0xff80_0000,
    );
    const values = new Float32Array(odd.buffer);
    const model = {
      wide: parameter([7], values, "wide"),
      held: parameter([3], Uint16Array.of(0x8000, 1, 0x7bff), "", "f16"),
      rough: parameter([2, 1], Uint16Array.of(0xff7f, 0x0001), "", "bf16"),
      none: parameter([0], 0, ""),
    };
    using optimizer = new AdamW(gpu, [model.wide], { lr: 1 });
    const state: OptimizerState = {
      kind: "adamw",
      stepCount: 2 ** 33,
      moments: { m: { wide: values.toReversed() }, u: { wide: values } },
    };
    optimizer.restore(state);
    const trained = { models: { policy: model }, optimizers: { optimizer } };
    const before = await bitsOf(namedParameters(model));
    await using saved = await written("bits", trained);
    model.wide.write(gpu, new Float32Array(7));
    model.held.write(gpu, new Uint16Array(3));
    model.rough.write(gpu, new Uint16Array(2));
    optimizer.restore({
      ...state,
      stepCount: 1,
      moments: { m: state.moments["u"] ?? {}, u: state.moments["m"] ?? {} },
    });
    await restoreTrained(gpu, saved, trained);
    expect(await bitsOf(namedParameters(model))).toEqual(before);
    expect(await optimizer.save()).toEqual(state);
  });

  it("goes on without momentum too", async () => {
    const model = { w: parameter([2], 1, "") };
    using optimizer = new SGD(gpu, [...parametersOf(model)], { lr: 1 });
    optimizer.restore({ kind: "sgd", stepCount: 5, moments: {} });
    const trained = { models: { policy: model }, optimizers: { optimizer } };
    await using saved = await written("sgd", trained);
    optimizer.restore({ kind: "sgd", stepCount: 0, moments: {} });
    await restoreTrained(gpu, saved, trained);
    expect((await optimizer.save()).stepCount).toBe(5);
  });
});

describe("a checkpoint that does not fit", () => {
  /** A model and a critic with their optimizers. */
  function pair(shape = [2, 3], extra = false) {
    const models = {
      policy: { w: parameter([4], 1, ""), ...(extra && { b: parameter([1], 1, "") }) },
      critic: { v: parameter(shape, 2, "") },
    };
    const optimizers = {
      optimizer: new AdamW(gpu, parametersOf(models.policy), { lr: 1 }),
      "critic-optimizer": new AdamW(gpu, parametersOf(models.critic), { lr: 1 }),
    };
    return { models, optimizers };
  }

  it("changes nothing, and says which tensor it is", async () => {
    await using saved = await written("pair", pair());
    const fits = pair();
    const { models, optimizers } = fits;
    using sgd = new SGD(gpu, parametersOf({ v: parameter([2, 3], 2, "v") }), { lr: 1 });
    const cases: [string, Trained, string][] = [
      ["another shape", pair([3, 2]), "v"],
      ["one more", pair([2, 3], true), "b"],
      ["one less", { ...fits, models: { ...models, policy: {} } }, "w"],
      ["no file", { ...fits, models: { ...models, reward: {} } }, "reward.safetensors"],
      [
        "a file too many",
        { models, optimizers: { optimizer: optimizers.optimizer } },
        "critic-opt",
      ],
      [
        "another dtype",
        { ...fits, models: { ...models, policy: { w: parameter([4], 1, "", "f16") } } },
        "F32",
      ],
      ["another kind", { models, optimizers: { ...optimizers, "critic-optimizer": sgd } }, "sgd"],
    ];
    for (const [name, trained, culprit] of cases) {
      for (const model of Object.values(trained.models)) perturbAll(model);
      const before = await everything(trained);
      const error = await errorOf(restoreTrained(gpu, saved, trained));
      expect(error, name).toMatchObject({ code: "checkpoint_invalid", hint: expect.any(String) });
      expect(error.message, name).toContain(culprit);
      expect(await everything(trained), name).toEqual(before);
    }
    await restoreTrained(gpu, saved, fits);
    expect([...(await models.critic.v.read())]).toEqual(Array(6).fill(2));
  });

  it("may lack what is optional, and may have what another way of training has left", async () => {
    const { models, optimizers } = pair();
    const policy = { models: { policy: models.policy }, optimizers: {} };
    const outer = new AdamW(gpu, parametersOf(models.critic), { lr: 1 });
    outer.restore({ ...(await outer.save()), stepCount: 7, momentsSince: 3 });
    const moments = { ...(await outer.save()) };
    await using lacking = await written("lacking", { ...policy, optional: { outer: undefined } });
    expect([...lacking.tensors.keys()]).toEqual(["policy"]);
    await using having = await written("having", { ...policy, optional: { outer } });
    outer.restore({ ...moments, stepCount: 0, momentsSince: 0 });
    await restoreTrained(gpu, lacking, { ...policy, optional: { outer } });
    expect((await outer.save()).stepCount).toBe(0);
    await restoreTrained(gpu, having, { ...policy, optional: { outer: undefined } });
    expect((await outer.save()).stepCount).toBe(0);
    await restoreTrained(gpu, having, { ...policy, optional: { outer } });
    expect(await outer.save()).toEqual(moments);
    const error = await errorOf(restoreTrained(gpu, having, policy));
    expect(error.message).toContain("outer.safetensors");
    const other = { ...policy, optional: { outer: optimizers.optimizer } };
    expect(await errorOf(restoreTrained(gpu, having, other))).toMatchObject({
      code: "checkpoint_invalid",
    });
  });

  it("is refused by its optimizer's counters too", async () => {
    const { models, optimizers } = pair();
    const trained = {
      models: { policy: models.policy },
      optimizers: { optimizer: optimizers.optimizer },
    };
    const set = await captureOptimizer(optimizers.optimizer);
    for (const [stepCount, momentsSince] of [
      ...[["-1"], ["1.5"], ["many"], ["NaN"]],
      ...[
        ["1", "2"],
        ["1", "-1"],
        ["1", "0.5"],
        ["1", "all"],
      ],
    ] as [string, string?][]) {
      const metadata = { kind: "adamw", stepCount, ...(momentsSince && { momentsSince }) };
      const tensors = { policy: captureModel(models.policy), optimizer: { ...set, metadata } };
      const path = await writeCheckpoint(`${folder}/counters`, 1, { tensors, state: {} });
      await using saved = await readCheckpoint(path);
      const error = await errorOf(restoreTrained(gpu, saved, trained));
      expect(error).toMatchObject({ code: "checkpoint_invalid" });
    }
  });

  function perturbAll(model: object): void {
    for (const state of parametersOf(model))
      if (state.dtype === "f32") state.write(gpu, new Float32Array(state.size).fill(9));
  }

  async function everything({ models, optimizers }: Trained): Promise<unknown> {
    const values: unknown[] = [];
    for (const model of Object.values(models)) values.push(await bitsOf(namedParameters(model)));
    for (const optimizer of Object.values(optimizers)) values.push(await optimizer.save());
    return values;
  }
});
