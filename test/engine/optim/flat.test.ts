import { beforeAll, describe, expect, it } from "vitest";
import {
  compile,
  type Device,
  parameter,
  SGD,
  type Tensor,
  tensor,
} from "../../../engine/index.ts";
import { device } from "../../support/gpu.ts";

let shared: Device;
beforeAll(async () => {
  shared = await device();
});

describe("the flat storage of parameters", () => {
  it("moves from optimizer to optimizer, and compiled functions follow", async () => {
    const p = parameter([2], Float32Array.of(1, 2), "p");
    const double = compile((x: Tensor) => p.mul(x));
    const read = async (): Promise<number[]> => [...(await (await double(tensor([2, 2]))).read())];
    expect(await read()).toEqual([2, 4]);
    const first = new SGD(shared, [p], { lr: 1 });
    const stepFirst = compile((g: Tensor) => ({ ...first.step([g]) }));
    await stepFirst(tensor([1, 0]));
    expect(await read()).toEqual([0, 4]);
    const second = new SGD(shared, [p], { lr: 1 });
    await compile((g: Tensor) => ({ ...second.step([g]) }))(tensor([0, 1]));
    expect(await read()).toEqual([0, 2]);
    expect([...(await p.read())]).toEqual([0, 1]);
    await expect(stepFirst(tensor([1, 1]))).rejects.toMatchObject({ code: "use_after_dispose" });
  });

  it("follows when only some parameters move, and the optimizer that lost them says so", async () => {
    const [p, q] = [parameter([1], 1, "p"), parameter([1], 1, "q")];
    const both = new SGD(shared, [p, q], { lr: 1 });
    const sum = compile((x: Tensor) => p.add(q).add(x));
    expect(await (await sum(tensor([0]))).item()).toBe(2);
    const one = new SGD(shared, [q], { lr: 1 });
    await compile((g: Tensor) => ({ ...one.step([g]) }))(tensor([5]));
    expect(await (await sum(tensor([0]))).item()).toBe(-3);
    const step = compile((g: Tensor) => ({ ...both.step([g, g]) }));
    await expect(step(tensor([1]))).rejects.toMatchObject({ code: "state_conflict" });
  });

  it("is freed with the last parameter in it", async () => {
    const before = shared.liveBytes;
    const parameters = [parameter([1000], 1, "p"), parameter([100], 1, "q")];
    const optimizer = new SGD(shared, parameters, { lr: 1, momentum: 0.9 });
    optimizer.v.buffer(shared);
    expect(shared.liveBytes - before).toBeGreaterThan(2 * 4400);
    optimizer[Symbol.dispose]();
    for (const p of parameters) p[Symbol.dispose]();
    expect(shared.liveBytes).toBe(before);
    await expect(parameters[0]?.read()).rejects.toMatchObject({ code: "use_after_dispose" });
  });
});
