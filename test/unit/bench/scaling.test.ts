import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { MEASURED, withTables } from "../../bench/scaling.ts";

const page = readFileSync(join(import.meta.dirname, "../../../docs/scaling.md"), "utf8");

it("docs/scaling.md has the tables of the model (tsx test/bench/scaling-table.ts writes them)", () => {
  expect(page).toBe(withTables(page));
});

it("docs/scaling.md says what was measured", () => {
  expect(page).toContain(`${MEASURED.ringCpuSecondsPerGB} s a GB`);
  expect(page).toContain(`bare TCP took ${MEASURED.tcpCpuSecondsPerGB.toFixed(1)} s`);
});

it("a page without markers is left alone", () => {
  expect(() => withTables("# How far the ring goes")).toThrow("tables: begin");
});
