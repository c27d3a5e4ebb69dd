/** Everything about the adapter: what it is, which kernels are on, whether they compute what they should. */
import { type KernelVariantReport, kernelVariants, setDefaultDevice } from "../../engine/index.ts";
import { type AdapterData, adapterChecks, adapterData, openForChecks } from "./adapter.ts";
import { allSelfTests } from "./all-tests.ts";
import type { Check } from "./check.ts";
import { selfTestChecks, tuningCheck, variantChecks } from "./kernels.ts";
import { runSelfTest, type SelfTestResult } from "./self-test.ts";

/** What the checks of an adapter were made from. */
export interface AdapterReport {
  /** Null without an adapter. */
  readonly adapter: AdapterData | null;
  readonly kernels: readonly KernelVariantReport[];
  readonly selfTests: readonly SelfTestResult[];
}

/** Examines the adapter; `note` is given checks as they come. */
export async function examineAdapter(
  note: (checks: readonly Check[]) => void,
): Promise<AdapterReport> {
  const opened = await openForChecks();
  if ("check" in opened) {
    note([opened.check]);
    return { adapter: null, kernels: [], selfTests: [] };
  }
  using device = opened.device;
  setDefaultDevice(device);
  note(adapterChecks(device));
  note([...variantChecks(device), tuningCheck(device)]);
  const tests = allSelfTests(device);
  const selfTests: SelfTestResult[] = [];
  for (const family of new Set(tests.map((t) => t.family))) {
    const results: SelfTestResult[] = [];
    for (const test of tests) {
      if (test.family === family) results.push(await runSelfTest(device, test));
    }
    note(selfTestChecks(results));
    selfTests.push(...results);
  }
  setDefaultDevice(undefined);
  return { adapter: adapterData(device), kernels: kernelVariants(device), selfTests };
}
