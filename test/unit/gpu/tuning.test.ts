import { describe, expect, test } from "vitest";
import { ForgeError } from "../../../engine/error.ts";
import { Tuning } from "../../../engine/gpu/tuning.ts";
import { matmulContest } from "../../../engine/ops/matmul-tuning.ts";
import { contiguousMatmul, type MatmulDeviceFacts } from "../../../engine/ops/matmul-variants.ts";

const SOFTWARE: MatmulDeviceFacts = { isSoftware: true, subgroupSize: 8, hasF16: true };
const TENSOR_CORES: MatmulDeviceFacts = {
  isSoftware: false,
  subgroupSize: 32,
  hasF16: true,
  hasSubgroupMatrix: true,
  limits: { maxComputeWorkgroupStorageSize: 49_152 },
};
const LARGE = contiguousMatmul("NN", { m: 2048, n: 2048, k: 2048 });
const failure = new ForgeError({ code: "autotune_mismatch", what: "it is wrong." });

/** A table with one choice, one verdict of each kind. */
function filled(adapter = "adapter A"): Tuning {
  const tuning = new Tuning(adapter, "auto");
  const contest = matmulContest(SOFTWARE, LARGE, false);
  const [first, second, third] = contest.candidates;
  if (!first || !second || !third) throw new Error("there are three candidates");
  tuning.accept(first);
  tuning.accept(second);
  tuning.reject(third, failure);
  tuning.decide(contest.key, { variant: second.name, ms: { [first.name]: 2, [second.name]: 1 } });
  return tuning;
}

describe("choose", () => {
  test("gives the best estimate when tuning is off, and wants it verified", () => {
    const tuning = new Tuning("adapter A", "off");
    const contest = matmulContest(SOFTWARE, LARGE, false);
    expect(tuning.choose(contest)).toBe(contest.candidates[0]);
    const [given] = contest.candidates;
    expect(tuning.takeOpen()).toEqual([{ contest, given, isUndecided: false }]);
    expect(tuning.takeOpen()).toEqual([]);
  });

  test("leaves nothing open once the candidate is verified", () => {
    const tuning = new Tuning("adapter A", "off");
    const contest = matmulContest(SOFTWARE, LARGE, false);
    tuning.accept(tuning.choose(contest));
    tuning.takeOpen();
    tuning.choose(contest);
    expect(tuning.takeOpen()).toEqual([]);
  });

  test("passes over rejected candidates, down to the plain kernel", () => {
    const tuning = new Tuning("adapter A", "off");
    const contest = matmulContest(SOFTWARE, LARGE, false);
    for (const candidate of contest.candidates) {
      if (!candidate.isPlain) tuning.reject(candidate, failure);
    }
    expect(tuning.choose(contest).name).toBe("plain");
    expect(tuning.takeOpen()).toEqual([]);
  });

  test("asks for the times of an undecided class when tuning is on, and then keeps to the choice", () => {
    const tuning = filled();
    const decided = matmulContest(SOFTWARE, LARGE, false);
    expect(tuning.choose(decided).name).toBe(decided.candidates[1]?.name);
    expect(tuning.takeOpen()).toEqual([]);
    const other = matmulContest(SOFTWARE, contiguousMatmul("TN", { m: 8, n: 8, k: 8 }), false);
    tuning.choose(other);
    expect(tuning.takeOpen()).toHaveLength(1);
  });

  test("does not use a choice that was rejected later", () => {
    const tuning = filled();
    const contest = matmulContest(SOFTWARE, LARGE, false);
    tuning.reject(tuning.choose(contest), failure);
    expect(tuning.choose(contest)).toBe(contest.candidates[0]);
    expect(tuning.takeOpen()).toHaveLength(1);
  });

  test("admits subgroup matrices where f16 operands are allowed and the adapter has them", () => {
    const tuning = new Tuning("adapter A", "off");
    const choose = (facts: MatmulDeviceFacts, canRound: boolean): string =>
      tuning.choose(matmulContest(facts, LARGE, canRound)).name;
    expect(choose(TENSOR_CORES, true)).toBe("matrix_128");
    expect(choose(TENSOR_CORES, false)).toBe("tiles_128");
    expect(choose({ ...TENSOR_CORES, hasSubgroupMatrix: false }, true)).toBe("tiles_128");
    expect(choose({ ...TENSOR_CORES, hasF16: false }, true)).toBe("tiles_128");
    expect(choose(SOFTWARE, true)).toBe(choose(SOFTWARE, false));
  });

  test("keeps choices for f16 operands apart from those for f32", () => {
    const tuning = new Tuning("adapter A", "frozen");
    const rounded = matmulContest(TENSOR_CORES, LARGE, true);
    tuning.decide(rounded.key, { variant: "matrix_64", ms: {} });
    expect(tuning.choose(rounded).name).toBe("matrix_64");
    expect(tuning.choose(matmulContest(TENSOR_CORES, LARGE, false)).name).toBe("tiles_128");
    expect(tuning.report().missing).toHaveLength(1);
  });
});

describe("export and import", () => {
  test("carry the whole table over", () => {
    const copy = new Tuning("adapter A", "auto");
    expect(copy.import(filled().export())).toBeUndefined();
    expect(copy.report()).toEqual(filled().report());
    expect(copy.export()).toBe(filled().export());
  });

  test("freeze the device with a frozen table, even with one of other shaders", () => {
    const table = filled();
    table.mode = "frozen";
    const copy = new Tuning("adapter A", "auto");
    copy.import(table.export());
    expect(copy.mode).toBe("frozen");
    const newer = new Tuning("adapter A", "auto");
    const old = JSON.stringify({ ...JSON.parse(table.export()), shaders: "0123456789abcdef" });
    expect(newer.import(old)).toContain("shaders have changed");
    expect(newer.mode).toBe("frozen");
    expect(newer.report().choices).toEqual({});
  });

  test("ignore a table of another adapter, and say so", () => {
    const tuning = filled("adapter B");
    const before = tuning.report();
    const reason = tuning.import(filled("adapter A").export());
    expect(reason).toBe('the table is of "adapter A", not of "adapter B"');
    expect(tuning.report()).toEqual({ ...before, ignored: reason });
  });

  test.each([
    ["not JSON", "no JSON"],
    ["null", "format"],
    ["[]", "format"],
    ['{"format":"forge-gpu tuning 0"}', "format"],
    ['{"format":"forge-gpu tuning 1"}', "damaged"],
  ])("ignore what is no table: %s", (text, reason) => {
    const tuning = filled();
    expect(tuning.import(text)).toContain(reason);
    expect(tuning.report().ignored).toContain(reason);
    expect(tuning.report().choices).toEqual(filled().report().choices);
  });

  test.each([
    ["choices", { key: { variant: 3, ms: {} } }],
    ["choices", { key: { variant: "plain", ms: { plain: "fast" } } }],
    ["choices", null],
    ["verified", [1]],
    ["rejected", { id: 1 }],
    ["isFrozen", "yes"],
  ])("ignore a table whose %s are damaged: %j", (field, value) => {
    const text = JSON.stringify({ ...JSON.parse(filled().export()), [field]: value });
    expect(new Tuning("adapter A", "auto").import(text)).toBe("the table is damaged");
  });

  test("clear forgets everything", () => {
    const tuning = filled();
    tuning.clear();
    expect(tuning.report()).toEqual(new Tuning("adapter A", "auto").report());
  });
});
