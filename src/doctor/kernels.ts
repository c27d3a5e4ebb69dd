/** Which kernel variants are on, and what the self-tests say of each family: a path that fell back must show. */
import { type Device, type KernelVariantReport, kernelVariants } from "../../engine/index.ts";
import { savedTunings } from "../tuning/store.ts";
import type { Check } from "./check.ts";
import type { SelfTestResult } from "./self-test.ts";

/** One check for each family that has variants. */
export function variantChecks(device: Device): Check[] {
  const variants = kernelVariants(device);
  const families = [...new Set(variants.map((v) => v.family))];
  return families.map((family) =>
    checkVariants(
      device,
      family,
      variants.filter((v) => v.family === family),
    ),
  );
}

function checkVariants(
  device: Device,
  family: string,
  variants: readonly KernelVariantReport[],
): Check {
  const name = `kernels: ${family}`;
  const on = variants.filter((v) => v.isOn).map((v) => v.name);
  const reasons = new Map<string, string[]>();
  for (const { name: variant, isOn, why } of variants) {
    if (!isOn) reasons.set(why, [...(reasons.get(why) ?? []), variant]);
  }
  const off = [...reasons].map(([why, names]) => `; off: ${names.join(", ")} (${why})`);
  const detail = `${on.join(", ")}${off.join("")}`;
  const fallback = fallbackOf(device, family, on);
  if (fallback === undefined) return { name, status: "ok", detail };
  return { name, status: "warn", detail, fix: fallback };
}

/** What to do where an adapter is left with kernels that are not made for its class. */
function fallbackOf(device: Device, family: string, on: readonly string[]): string | undefined {
  const isMatmulFallback = family === "matmul" && on.every((variant) => variant === "plain");
  const isAttentionFallback =
    (family === "attention" || family === "cache attention") &&
    device.isSoftware &&
    on.every((variant) => variant === "workgroup");
  if (!isMatmulFallback && !isAttentionFallback) return undefined;
  return "results are right but slow here: use a driver with subgroups of one fixed size, such as Mesa's lavapipe";
}

/** What the tuner has settled on this adapter in earlier runs; kernels that it found wrong are a warning. */
export function tuningCheck({ tuning }: Device): Check {
  const name = "tuning";
  const table = savedTunings().find(({ adapter }) => adapter === tuning.scope.adapter);
  if (!table) return { name, status: "ok", detail: "nothing is saved for this adapter" };
  const { choices, rejected, isFrozen, shaders, file } = table;
  const age =
    shaders === tuning.scope.shaders ? "" : ", out of date: the kernels have changed since";
  const count = Object.keys(choices ?? {}).length;
  const detail = `${count} choices${isFrozen ? ", frozen" : ""}${age} (${file})`;
  const wrong = Object.keys(rejected ?? {}); // a foreign file may lack them
  if (wrong.length === 0 || age !== "") return { name, status: "ok", detail };
  return {
    name,
    status: "warn",
    detail: `${detail}; not used, being wrong here: ${wrong.join(", ")}`,
    fix: "update the GPU's driver, then run `forge-gpu tuning clear`",
  };
}

/** One check for each family that was tested. */
export function selfTestChecks(results: readonly SelfTestResult[]): Check[] {
  const families = [...new Set(results.map((r) => r.family))];
  return families.map((family) =>
    checkFamily(
      family,
      results.filter((r) => r.family === family),
    ),
  );
}

function checkFamily(family: string, results: readonly SelfTestResult[]): Check {
  const name = `self-test: ${family}`;
  const failed = results.filter((r) => !r.ok);
  if (failed.length === 0) {
    const worst = Math.max(...results.map((r) => r.worst ?? 0));
    const share = worst < 0.005 ? "less than 1 %" : `at most ${Math.round(100 * worst)} %`;
    const tests = `${results.length} test${results.length > 1 ? "s" : ""}`;
    const detail = `${tests} against f64, errors ${share} of the tolerance`;
    return { name, status: "ok", detail };
  }
  const problems = failed.map((r) => `${r.name}: ${r.problem ?? "wrong"}`);
  return {
    name,
    status: "fail",
    detail: `${failed.length} of ${results.length} tests fail: ${problems.join("; ").replaceAll("\n", " ")}`,
    fix: "update the GPU's driver; if that does not help, report this with `forge-gpu doctor --json`",
  };
}
