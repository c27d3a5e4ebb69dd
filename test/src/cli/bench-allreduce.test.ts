import { describe, expect, it } from "vitest";
import { checkSum, fillContribution } from "../../../src/bench/allreduce-sum.ts";
import { forgeGpu } from "../../support/command.ts";

describe("forge-gpu bench allreduce", () => {
  it.each([
    { world: 2, wire: "f32", chunkKib: 64 },
    { world: 3, wire: "int8", chunkKib: 1024 },
  ])("measures $world processes in $wire, and prints one JSON document", async (given) => {
    const { world, wire, chunkKib } = given;
    const { code, stdout, stderr } = await forgeGpu([
      ...["bench", "allreduce", "--json", "--mib", "1", "--rounds", "2"],
      ...["--world", `${world}`, "--wire", wire, "--chunk-kib", `${chunkKib}`],
    ]);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    const { host, options, sentBytes, rows, ratio, sum } = JSON.parse(stdout);
    expect(host.node).toBe(process.version);
    expect(options).toEqual({ ...given, mib: 1, threads: 0, rounds: 2 });
    const ofWire = { f32: 4, int8: 1 + 4 / 256 }[wire] as number;
    expect(sentBytes).toBe(Math.round((2 * (world - 1) * ofWire * 2 ** 18) / world));
    expect(rows.map(({ way }: { way: string }) => way)).toEqual(["ring", "tcp", "tcp alone"]);
    for (const { gigabytesPerSecond, best, cpuSecondsPerGigabyte } of rows) {
      expect(gigabytesPerSecond).toBeGreaterThan(0);
      expect(best).toBeGreaterThanOrEqual(gigabytesPerSecond);
      expect(cpuSecondsPerGigabyte).toBeGreaterThan(0);
    }
    expect(ratio).toBeCloseTo(rows[0].gigabytesPerSecond / rows[1].gigabytesPerSecond);
    // an error of nothing would be that of a sum that was not looked at
    expect(sum.largestError).toBeGreaterThan(0);
    expect(sum.largestError).toBeLessThanOrEqual(sum.bound);
    expect(sum.hash).toMatch(/^[0-9a-f]{64}$/);
  });

  it("says in a table what it has found", async () => {
    const args = ["bench", "allreduce", "--mib", "1", "--rounds", "1", "--wire", "bf16"];
    const { code, stdout } = await forgeGpu(args);
    expect(code).toBe(0);
    expect(stdout).toMatch(/\| tcp alone +\| [\d.]+ GB\/s/);
    expect(stdout).toMatch(/ring \/ tcp: \d/);
    expect(stdout).toContain("the sum was looked at");
  });

  it.each([["--world", "1"], ["--wire", "f16"], ["--mib", "0"], ["--profile"]])(
    "exits with 2 on wrong usage: %s %s",
    async (...args) => {
      const { code, stdout } = await forgeGpu(["bench", "allreduce", ...args]);
      expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    },
  );

  it("fails when the ranks have no room for the vector", async () => {
    const { code, stdout, stderr } = await forgeGpu(["bench", "allreduce", "--mib", "100000"]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(/^\[internal\] .*\n {2}got {2}rank \d: RangeError/);
  });
});

describe("a sum", () => {
  it.each([["f32"], ["bf16"], ["int8"]] as const)("is not taken for right in %s", (wire) => {
    const [one, two] = [0, 1].map((rank) => {
      const values = new Float32Array(1000);
      fillContribution(values, rank);
      return values;
    }) as [Float32Array, Float32Array];
    const sum = one.map((value, i) => value + (two[i] as number));
    const right = checkSum(sum, 2, wire);
    expect(right.largestError).toBeLessThanOrEqual(right.bound);
    for (const wrong of [Number.NaN, (sum[700] as number) + 2 * right.bound, Infinity]) {
      const { largestError, bound, hash } = checkSum(sum.with(700, wrong), 2, wire);
      expect(largestError <= bound).toBe(false);
      expect(hash).not.toBe(right.hash);
    }
  });
});
