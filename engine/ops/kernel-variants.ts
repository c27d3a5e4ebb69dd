/** Which kernel variants a device uses, and why it leaves the others: for `forge-gpu doctor` and bug reports. */
import { type Device, SUBGROUP_MATRIX_FEATURES } from "../gpu/device.ts";
import {
  type AttentionDevice,
  type AttentionShape,
  chooseAttentionVariant,
  lanesVariant,
  workgroupVariant,
} from "./attention-variants.ts";
import {
  cacheLanesVariant,
  cacheWorkgroupVariant,
  chooseCacheAttention,
} from "./cache-variants.ts";
import {
  contiguousMatmul,
  MATMUL_VARIANTS,
  type MatmulShape,
  type MatmulVariant,
} from "./matmul-variants.ts";

/** One variant of a family of kernels on a device. */
export interface KernelVariantReport {
  readonly family: string;
  readonly name: string;
  /** Whether any shape is computed by it there. */
  readonly isOn: boolean;
  /** What it is for; or why it is off. */
  readonly why: string;
}

/** All variants of all families that have more than one. */
export function kernelVariants(device: Device): KernelVariantReport[] {
  return [
    ...MATMUL_VARIANTS.map((variant) => matmulReport(device, variant)),
    ...attentionReports(device),
    ...cacheAttentionReports(device),
    ...splitReports(device),
  ];
}

const FOR_SOFTWARE = "made for drivers that compute on the CPU; this adapter is hardware";
const FOR_HARDWARE = "made for hardware; this adapter computes on the CPU";

/** Shapes that between them every variant serves on some device: large, odd, and of few rows. */
const PROBES: readonly MatmulShape[] = (["NN", "NT", "TN"] as const).flatMap((mode) => [
  contiguousMatmul(mode, { m: 512, n: 512, k: 512 }),
  contiguousMatmul(mode, { m: 511, n: 511, k: 511 }),
  contiguousMatmul(mode, { m: 4, n: 512, k: 512 }),
]);

function matmulReport(device: Device, variant: MatmulVariant): KernelVariantReport {
  const family = "matmul";
  const { name, isRounding } = variant;
  const isOn = PROBES.some((shape) => variant.supports(device, shape));
  const use = isRounding ? 'where `matmulPrecision` is "f16"' : MATMUL_USES[classOf(name)];
  const why = isOn
    ? use
    : (matmulRefusal(device, classOf(name)) ?? "the adapter's limits are too low");
  return { family, name, isOn, why };
}

type MatmulClass = keyof typeof MATMUL_USES;

const MATMUL_USES = {
  matrix: "products of matrices in hardware",
  tiles: "sizes in steps of 4",
  tiles_any: "any sizes",
  rows: "up to 16 rows",
  lanes: "sizes in steps of 4",
  lanes_any: "any sizes",
  plain: "what the others are verified against",
} as const;

/** `lanes_any_16` is of the class `lanes_any`. */
function classOf(name: string): MatmulClass {
  return name.replace(/_\d+$/, "") as MatmulClass;
}

function matmulRefusal(device: Device, kind: MatmulClass): string | undefined {
  if (kind === "matrix") return matrixRefusal(device);
  if (kind === "tiles" || kind === "tiles_any" || kind === "rows") {
    return device.isSoftware ? FOR_HARDWARE : undefined;
  }
  return device.isSoftware ? lanesRefusal(device) : FOR_SOFTWARE;
}

function lanesRefusal({ gpu, subgroupSize }: Device): string {
  if (subgroupSize !== undefined) {
    return `needs subgroups of 4, 8 or 16 lanes; the adapter has ${subgroupSize}`;
  }
  return gpu.features.has("subgroups")
    ? "needs subgroups of one fixed size; the adapter's sizes vary"
    : "needs subgroups: the feature subgroups is not offered";
}

function matrixRefusal(device: Device): string | undefined {
  const features = device.gpu.features as ReadonlySet<string>;
  const missing = SUBGROUP_MATRIX_FEATURES.filter((feature) => !features.has(feature));
  if (missing.length > 0) {
    const names = missing.join(", ");
    return `needs subgroup matrices: ${missing.length > 1 ? "features" : "feature"} ${names} not offered`;
  }
  return device.hasSubgroupMatrix
    ? undefined
    : "needs subgroup matrices of f16, 16 × 16 × 16 with f32 results, at 32 lanes: the adapter has other sizes";
}

/** A decoder's layer, as far as the choice depends on it. */
const ATTENTION: AttentionShape = {
  tokens: 1024,
  heads: 8,
  kvHeads: 8,
  headDim: 64,
  hasWindow: false,
  hasSoftcap: false,
};

function attentionReports(device: Device): KernelVariantReport[] {
  const { isSoftware, subgroupSize, limits } = device;
  const facts: AttentionDevice = {
    isSoftware,
    subgroupSize,
    workgroupStorageBytes: limits.maxComputeWorkgroupStorageSize,
  };
  const chosen = chooseAttentionVariant(facts, ATTENTION);
  return [lanesVariant, workgroupVariant].map((variant) => {
    const isOn = variant === chosen;
    const refusal = variant.refusal(facts, ATTENTION);
    const other = variant === lanesVariant ? FOR_SOFTWARE : "lanes are faster on this adapter";
    const why = isOn ? "forward and backward" : (refusal ?? other);
    return { family: "attention", name: variant.name, isOn, why };
  });
}

function cacheAttentionReports(device: Device): KernelVariantReport[] {
  const chosen = chooseCacheAttention(device);
  return [cacheLanesVariant, cacheWorkgroupVariant].map((variant) => {
    const isOn = variant === chosen;
    const other = variant === cacheLanesVariant ? FOR_SOFTWARE : FOR_HARDWARE;
    const why = isOn ? "in use" : (variant.refusal(device) ?? other);
    return { family: "cache attention", name: variant.name, isOn, why };
  });
}

/** Families with one split for drivers on a CPU and one for hardware. */
const SPLITS: readonly {
  readonly family: string;
  readonly software: string;
  readonly hardware: string;
  /** What drivers on a CPU use the hardware's split for too. */
  readonly sharedUse?: string;
}[] = [
  {
    family: "rows (norms, softmax, scans)",
    software: "a lane a row",
    hardware: "a workgroup a row",
    sharedUse: "long rows, or few",
  },
  {
    family: "sampling",
    software: "a lane a row",
    hardware: "a workgroup a row",
    sharedUse: "rows of more than 4096 columns",
  },
  { family: "LM head", software: "a lane a row", hardware: "a workgroup a row" },
  { family: "reductions", software: "a lane a result", hardware: "a workgroup a result" },
  { family: "optimizers", software: "a lane a run", hardware: "coalesced" },
];

function splitReports({ isSoftware }: Device): KernelVariantReport[] {
  return SPLITS.flatMap(({ family, software, hardware, sharedUse }) => [
    { family, name: software, isOn: isSoftware, why: isSoftware ? "in use" : FOR_SOFTWARE },
    {
      family,
      name: hardware,
      isOn: !isSoftware || sharedUse !== undefined,
      why: isSoftware ? (sharedUse ?? FOR_HARDWARE) : "in use",
    },
  ]);
}
