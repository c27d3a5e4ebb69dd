/** All self-tests of a device. */
import type { Device } from "../../engine/index.ts";
import { attentionTests } from "./families/attention.ts";
import { cacheAttentionTests } from "./families/cache-attention.ts";
import { elementwiseTests } from "./families/elementwise.ts";
import { headTests } from "./families/heads.ts";
import { matmulTests } from "./families/matmul.ts";
import { optimizerTests } from "./families/optimizers.ts";
import { policyLossTests } from "./families/policy-loss.ts";
import { randomTests } from "./families/random.ts";
import { rowTests } from "./families/rows.ts";
import { samplingTests } from "./families/sampling.ts";
import type { SelfTest } from "./self-test.ts";

/** One or more tests of every family of kernels, and of every variant that is on. */
export function allSelfTests(device: Device): SelfTest[] {
  return [
    ...matmulTests(device),
    ...attentionTests(),
    ...cacheAttentionTests(),
    ...rowTests(),
    ...headTests(),
    ...policyLossTests(),
    ...elementwiseTests(device),
    ...optimizerTests(),
    ...randomTests(),
    ...samplingTests(),
  ];
}
