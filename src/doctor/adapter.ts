/** The adapter as the engine has opened it: what it is, and what it offers. */
import { existsSync } from "node:fs";
import { type Device, ForgeError, openDevice } from "../../engine/index.ts";
import { type Check, FIX_BY_SETUP } from "./check.ts";

/** Opens the device that programs get, without any tuning. A failure becomes a check. */
export async function openForChecks(): Promise<{ device: Device } | { check: Check }> {
  try {
    return { device: await openDevice({ tuning: "off" }) };
  } catch (error) {
    const fix = error instanceof ForgeError && error.hint ? error.hint : FIX_BY_SETUP;
    const detail = error instanceof Error ? error.message.replaceAll("\n", " ") : String(error);
    return { check: { name: "adapter", status: "fail", detail, fix } };
  }
}

/** The adapter, its features, limits, subgroups, and Dawn's toggles. */
export function adapterChecks(device: Device): Check[] {
  return [
    checkAdapter(device),
    checkFeatures(device),
    checkSubgroups(device),
    checkLimits(device),
    { name: "toggles", status: "ok", detail: device.toggles.join(", ") || "none" },
  ];
}

/** The adapter as plain data. */
export interface AdapterData {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  /** The driver. */
  readonly description: string;
  readonly isSoftware: boolean;
  /** Lanes; `fixed` is null where they vary. */
  readonly subgroups: {
    readonly least: number | null;
    readonly most: number | null;
    readonly fixed: number | null;
  };
  readonly hasSubgroupMatrix: boolean;
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
  readonly toggles: readonly string[];
}

/** Describes the adapter. */
export function adapterData(device: Device): AdapterData {
  const { vendor, architecture, device: model, description } = device.info;
  const { subgroupMinSize = null, subgroupMaxSize = null } = device.info;
  return {
    vendor,
    architecture,
    device: model,
    description,
    isSoftware: device.isSoftware,
    subgroups: {
      least: subgroupMinSize,
      most: subgroupMaxSize,
      fixed: device.subgroupSize ?? null,
    },
    hasSubgroupMatrix: device.hasSubgroupMatrix,
    features: [...device.gpu.features].sort(),
    limits: Object.fromEntries(LIMITS.map(({ key }) => [key, device.limits[key]])),
    toggles: device.toggles,
  };
}

/** Device files of GPUs on Linux. */
const GPU_FILES = ["/dev/nvidia0", "/dev/dri/renderD128", "/dev/kfd", "/dev/dxg"];

function checkAdapter({ name, isSoftware }: Device): Check {
  if (!isSoftware) return { name: "adapter", status: "ok", detail: `${name} (hardware)` };
  const detail = `${name} (software: computes on the CPU)`;
  const unused = GPU_FILES.find((file) => existsSync(file));
  if (unused === undefined) return { name: "adapter", status: "ok", detail };
  return {
    name: "adapter",
    status: "warn",
    detail: `${detail}, although this machine has a GPU (${unused})`,
    fix:
      "install the Vulkan driver of the GPU's vendor; in a container, let it in " +
      "(NVIDIA: set NVIDIA_DRIVER_CAPABILITIES=all)",
  };
}

/** Features that kernels are made for. */
const FEATURES = [
  "shader-f16",
  "subgroups",
  "subgroup-size-control",
  "chromium-experimental-subgroup-matrix",
  "timestamp-query",
] as const;

function checkFeatures({ gpu }: Device): Check {
  const features = gpu.features as ReadonlySet<string>;
  const on = FEATURES.filter((feature) => features.has(feature));
  const off = FEATURES.filter((feature) => !features.has(feature));
  const not = off.length > 0 ? `; not offered: ${off.join(", ")}` : "";
  return { name: "features", status: "ok", detail: `${on.join(", ") || "none"}${not}` };
}

function checkSubgroups({ info, subgroupSize }: Device): Check {
  const { subgroupMinSize: least, subgroupMaxSize: most } = info;
  const detail =
    subgroupSize === undefined
      ? `of ${least} to ${most} lanes`
      : `of ${subgroupSize} lanes, always`;
  return { name: "subgroups", status: "ok", detail };
}

/** Limits that decide what fits. */
const LIMITS = [
  { key: "maxStorageBufferBindingSize", name: "buffer as bound", unit: "MiB", size: 2 ** 20 },
  { key: "maxBufferSize", name: "buffer", unit: "MiB", size: 2 ** 20 },
  { key: "maxStorageBuffersPerShaderStage", name: "buffers of a kernel", unit: "", size: 1 },
  {
    key: "maxComputeWorkgroupStorageSize",
    name: "workgroup memory",
    unit: "KiB",
    size: 2 ** 10,
  },
  {
    key: "maxComputeInvocationsPerWorkgroup",
    name: "lanes of a workgroup",
    unit: "",
    size: 1,
  },
  { key: "maxComputeWorkgroupsPerDimension", name: "workgroups a dimension", unit: "", size: 1 },
] as const satisfies readonly {
  readonly key: keyof GPUSupportedLimits;
  readonly name: string;
  readonly unit: string;
  readonly size: number;
}[];

function checkLimits({ limits }: Device): Check {
  const parts = LIMITS.map(({ key, name, unit, size }) =>
    `${name} ${Math.floor(limits[key] / size).toLocaleString("en")} ${unit}`.trimEnd(),
  );
  return { name: "limits", status: "ok", detail: parts.join(", ") };
}
