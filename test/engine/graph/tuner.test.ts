import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { ShaderOptions } from "../../../engine/gpu/shader.ts";
import type { Arena, Contest, TrialStep } from "../../../engine/gpu/tuning.ts";
import { settle } from "../../../engine/graph/tuner.ts";
import { compile, type Device, matmul, tensor } from "../../../engine/index.ts";
import { type MatmulCandidate, matmulContest } from "../../../engine/ops/matmul-tuning.ts";
import {
  contiguousMatmul,
  type MatmulMode,
  type MatmulVariant,
  matmulCandidates,
  planMatmul,
} from "../../../engine/ops/matmul-variants.ts";
import { matmulForward } from "../../reference/matmul.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";
import { summed } from "../../support/tolerances.ts";

let gpu: Device;
let mode: Device["tuning"]["mode"];

beforeAll(async () => {
  gpu = await device();
  mode = gpu.tuning.mode;
});
beforeEach(() => {
  gpu.tuning.clear();
  gpu.tuning.mode = "off";
});
afterAll(() => {
  gpu.tuning.clear();
  gpu.tuning.mode = mode;
  gpu.tuning.onChange = undefined;
});

const [M, K, N] = [40, 24, 36];
const [A, B] = [randoms(1).floats(M * K), randoms(2).floats(K * N)];
const SHAPE = contiguousMatmul("NN", { m: M, n: N, k: K });

/** The product by a plan of its own: its values, and the constants of the kernel that made them. */
async function multiply(): Promise<{ values: Float32Array; constants: unknown }> {
  using product = compile(() => matmul(tensor(A, [M, K]), tensor(B, [K, N])));
  const values = (await (await product()).read()) as Float32Array;
  const { calls } = (await product.plan()).program;
  return { values, constants: calls.at(-1)?.options?.constants };
}

/** The constants of a variant's kernel. */
function constantsOf(variant: MatmulVariant): unknown {
  return planMatmul(variant, gpu, SHAPE).steps.at(-1)?.dispatch.options.constants;
}

function expected(): Float64Array {
  const c = new Float64Array(M * N);
  matmulForward({ ...SHAPE, aRow: K, aK: 1, bK: N, bCol: 1, cRow: N }, A, B, c);
  return c;
}

/** The contest of a product, with a broken copy of its best candidate in front. */
function withBroken(name: string, options: ShaderOptions): Contest<MatmulCandidate> {
  const contest = matmulContest(gpu, SHAPE, false);
  const best = contest.candidates[0] as MatmulCandidate;
  const spoil = (steps: readonly TrialStep[]): TrialStep[] =>
    steps.map((step) => ({
      ...step,
      dispatch: { ...step.dispatch, options: { ...step.dispatch.options, ...options } },
    }));
  const spoilArena = (arena: Arena<MatmulCandidate>): Arena<MatmulCandidate> => ({
    ...arena,
    steps: (candidate) =>
      candidate.name === name ? spoil(arena.steps(candidate)) : arena.steps(candidate),
  });
  const broken: MatmulCandidate = {
    ...best,
    name,
    id: `matmul ${name}`,
    arena: () => spoilArena(best.arena()),
  };
  const arena = (): Arena<MatmulCandidate> => spoilArena(contest.arena());
  return { ...contest, candidates: [broken, ...contest.candidates], arena };
}

/** A store hook of the best candidate's kernel, changed by `spoil`. */
function hook(value: string, condition = "true"): ShaderOptions {
  const best = matmulCandidates(gpu, SHAPE)[0] as MatmulVariant;
  const type = best.hook === "store4" ? "vec4f" : "f32";
  const index = best.hook === "store4" ? "index_c(row, col) / 4u" : "index_c(row, col)";
  const text = `fn ${best.hook}(batch: u32, row: u32, col: u32, value: ${type}) {
  if (${condition}) {
    c[${index}] = ${value};
  }
}`;
  return { functions: { [best.hook]: text } };
}

describe("verification", () => {
  test("finds all variants of this adapter right, in every mode", async () => {
    for (const kind of ["NN", "NT", "TN"] satisfies MatmulMode[]) {
      for (const sizes of [
        { m: 96, n: 64, k: 64 },
        { m: 33, n: 17, k: 19 },
        { m: 3, n: 64, k: 64 },
      ]) {
        const contest = matmulContest(gpu, contiguousMatmul(kind, sizes), true);
        for (const candidate of contest.candidates) {
          gpu.tuning.choose({ ...contest, candidates: [candidate] });
        }
      }
    }
    expect(await settle(gpu)).toBe(false);
    const { verified, rejected } = gpu.tuning.report();
    expect(rejected).toEqual({});
    expect(verified.length).toBeGreaterThan(3);
  });

  test.each([
    ["adds to its results", "value + 0.001", "true"],
    ["leaves out a row", "value", "row != 5u"],
    ["forgets the last columns", "value", "col + 4u < params.n"],
    ["forgets the second batch", "value", "batch == 0u"],
  ])("rejects and reports a kernel that %s", async (name, value, condition) => {
    const contest = withBroken(name, hook(value, condition));
    expect(gpu.tuning.choose(contest).name).toBe(name);
    expect(await settle(gpu)).toBe(true);
    const next = gpu.tuning.choose(contest);
    expect(next.name).toBe(contest.candidates[1]?.name);
    expect(gpu.tuning.report().rejected).toEqual({
      [`matmul ${name}`]: expect.stringMatching(/\[autotune_mismatch\].*\n.*elements/),
    });
    await settle(gpu);
    expect(gpu.tuning.isTrusted(next)).toBe(true);
  });

  test("rejects and reports a kernel that does not compile, and the device lives on", async () => {
    const contest = withBroken("nonsense", hook("no_such_value"));
    gpu.tuning.choose(contest);
    expect(await settle(gpu)).toBe(true);
    const { rejected } = gpu.tuning.report();
    expect(rejected["matmul nonsense"]).toMatch(/\[shader_invalid\].*\n.*no_such_value/);
    expectClose((await multiply()).values, expected(), summed(K));
  });

  test("comes before the first use of a kernel, once", async () => {
    let changes = 0;
    gpu.tuning.onChange = () => changes++;
    const first = await multiply();
    expect(changes).toBe(1);
    expect(gpu.tuning.report().verified).toHaveLength(1);
    expect(await multiply()).toEqual(first);
    expect(changes).toBe(1);
    expectClose(first.values, expected(), summed(K));
  });

  test("keeps plans off a rejected kernel", async () => {
    const [best, second] = matmulCandidates(gpu, SHAPE) as [MatmulVariant, MatmulVariant];
    const contest = withBroken("wrong", hook("value + 1.0"));
    const broken = contest.candidates[0] as MatmulCandidate;
    // the rejected id is that of the best kernel: as if that one were broken on this adapter
    const id = contest.candidates[1]?.id ?? "";
    gpu.tuning.choose({ ...contest, candidates: [{ ...broken, id }, ...contest.candidates] });
    await settle(gpu);
    const { values, constants } = await multiply();
    expect(constants).toEqual(constantsOf(second));
    expect(constants).not.toEqual(constantsOf(best));
    expectClose(values, expected(), summed(K));
  });
});

describe("tuning auto", () => {
  test("times the candidates of a class once, and uses the fastest", async () => {
    gpu.tuning.mode = "auto";
    const first = await multiply();
    const { choices } = gpu.tuning.report();
    const [choice] = Object.values(choices);
    expect(Object.keys(choices)).toHaveLength(1);
    expect(Object.keys(choice?.ms ?? {}).length).toBeGreaterThan(1);
    expect(choice?.ms[choice.variant]).toBeGreaterThan(0);
    const used = matmulCandidates(gpu, SHAPE).find((v) => v.name === choice?.variant);
    expect(first.constants).toEqual(constantsOf(used as MatmulVariant));
    expectClose(first.values, expected(), summed(K));

    expect(await multiply()).toEqual(first);
    expect(gpu.tuning.report().choices).toEqual(choices);
  });

  test("never times a candidate that is wrong", async () => {
    gpu.tuning.mode = "auto";
    const contest = withBroken("wrong", hook("value + 1.0"));
    gpu.tuning.choose(contest);
    expect(await settle(gpu)).toBe(true);
    const { choices, rejected } = gpu.tuning.report();
    expect(Object.keys(choices[contest.key]?.ms ?? {})).not.toContain("wrong");
    expect(Object.keys(rejected)).toEqual(["matmul wrong"]);
  });

  test("settles plans that are made at the same time, and frees what it used", async () => {
    gpu.tuning.mode = "auto";
    await gpu.idle();
    const before = gpu.liveBytes;
    const [x, y] = await Promise.all([multiply(), multiply()]);
    expect(y).toEqual(x);
    await gpu.idle();
    expect(gpu.liveBytes - before).toBeLessThan(2 ** 20);
  });
});

describe("tuning frozen", () => {
  /** A table in which the class has its second-best candidate. */
  function frozenTable(): { json: string; variant: MatmulVariant } {
    const contest = matmulContest(gpu, SHAPE, false);
    const { variant, id } = contest.candidates[1] as MatmulCandidate;
    const table = JSON.parse(gpu.tuning.export());
    table.isFrozen = true;
    table.choices[contest.key] = { variant: variant.name, ms: {} };
    table.verified = [id];
    return { json: JSON.stringify(table), variant };
  }

  test("uses the table, and neither times nor verifies anything", async () => {
    const { json, variant } = frozenTable();
    expect(gpu.tuning.import(json)).toBeUndefined();
    expect(gpu.tuning.mode).toBe("frozen");
    let changes = 0;
    gpu.tuning.onChange = () => changes++;
    const { values, constants } = await multiply();
    expect(constants).toEqual(constantsOf(variant));
    expect(changes).toBe(0);
    expectClose(values, expected(), summed(K));
  });

  test("gives the same bits every time", async () => {
    const { json } = frozenTable();
    const results: Float32Array[] = [];
    for (let i = 0; i < 3; i++) {
      gpu.tuning.clear();
      gpu.tuning.import(json);
      results.push((await multiply()).values);
    }
    expect(results[1]).toEqual(results[0]);
    expect(results[2]).toEqual(results[0]);
  });

  test("falls back to the estimate for a class that is missing, and says so", async () => {
    gpu.tuning.mode = "frozen";
    const { constants } = await multiply();
    expect(constants).toEqual(constantsOf(matmulCandidates(gpu, SHAPE)[0] as MatmulVariant));
    const { missing, choices } = gpu.tuning.report();
    expect(missing).toEqual([matmulContest(gpu, SHAPE, false).key]);
    expect(choices).toEqual({});
  });

  test("takes over what auto has found", async () => {
    gpu.tuning.mode = "auto";
    const tuned = await multiply();
    gpu.tuning.mode = "frozen";
    const json = gpu.tuning.export();
    const before = gpu.tuning.report();
    gpu.tuning.clear();
    gpu.tuning.mode = "auto";
    expect(gpu.tuning.import(json)).toBeUndefined();
    expect(gpu.tuning.report()).toEqual(before);
    expect(await multiply()).toEqual(tuned);
  });
});
