/**
 * Choosing an adapter and opening a device with everything it offers.
 */
import { ForgeError } from "../error.ts";
import { createDawn, type DawnInstance, usePreparedVulkan } from "./dawn.ts";
import { Device, isSoftware } from "./device.ts";
import { waitGently } from "./polling.ts";
import type { TuningMode } from "./tuning.ts";

/** How to open a device. */
export interface OpenOptions {
  /** A `GPUDevice` the caller has opened (browsers); adapter choice and features are then the caller's. */
  readonly device?: GPUDevice;
  /** Substring of the adapter's name (Node only). Default: hardware before software. */
  readonly adapter?: string;
  /** Keep the driver's validation and robustness on. Default: the environment variable FORGE_DEBUG, else off. */
  readonly debug?: boolean;
  /** How kernel variants are chosen. Default: `auto` on hardware, `off` on software adapters. */
  readonly tuning?: TuningMode;
}

/** Features requested wherever the adapter has them. */
const WANTED_FEATURES = [
  "shader-f16",
  "subgroups",
  "subgroup-size-control",
  "chromium-experimental-subgroup-matrix",
  "timestamp-query",
] as const;

/**
 * Opens a device: in Node through Dawn, in a browser through `navigator.gpu` or from a given `GPUDevice`.
 *
 * Errors    `adapter_missing` when no adapter is found; the fix names the set-up command.
 */
export async function openDevice(options: OpenOptions = {}): Promise<Device> {
  if (options.device)
    return new Device({
      gpu: options.device,
      info: options.device.adapterInfo,
      toggles: [],
      tuning: options.tuning,
    });
  const debug = options.debug ?? debugFromEnvironment();
  const { adapter, instance } = await findAdapter(debug, options.adapter);
  const requiredFeatures = WANTED_FEATURES.filter((f) =>
    adapter.features.has(f),
  ) as GPUFeatureName[];
  const gpu = await waitGently(() =>
    adapter.requestDevice({
      label: "forge-gpu",
      requiredFeatures,
      requiredLimits: allLimits(adapter.limits),
    }),
  );
  return new Device({
    gpu,
    info: adapter.info,
    toggles: instance?.toggles ?? [],
    tuning: options.tuning,
    keep: [instance, adapter],
  });
}

function debugFromEnvironment(): boolean {
  return typeof process !== "undefined" && !!process.env?.["FORGE_DEBUG"];
}

interface FoundAdapter {
  readonly adapter: GPUAdapter;
  readonly instance: DawnInstance | undefined;
}

async function findAdapter(debug: boolean, name: string | undefined): Promise<FoundAdapter> {
  const browser = (globalThis as { navigator?: Navigator }).navigator?.gpu;
  if (browser) {
    const adapter = await pickAdapter(browser);
    if (adapter) return { adapter, instance: undefined };
    throw missing(
      "this browser offers no WebGPU adapter",
      "start Chromium with --enable-unsafe-webgpu, or update the driver",
    );
  }
  const instance = await createDawn(debug, name);
  const adapter = await pickAdapter(instance.gpu);
  if (adapter) return { adapter, instance };
  if (await usePreparedVulkan()) {
    const second = await createDawn(debug, name);
    const prepared = await pickAdapter(second.gpu);
    if (prepared) return { adapter: prepared, instance: second };
  }
  throw missing(
    name === undefined
      ? "Dawn finds no Vulkan, Metal or D3D12 adapter"
      : `Dawn finds no adapter named like "${name}"`,
    "run `npx forge-gpu doctor --fix`: it brings a software adapter",
  );
}

function missing(got: string, fix: string): ForgeError {
  return new ForgeError({ code: "adapter_missing", what: "no GPU adapter.", got, fix });
}

/** Hardware before software: asks for both power preferences and takes the first that is no CPU. */
async function pickAdapter(gpu: GPU): Promise<GPUAdapter | null> {
  const high = await waitGently(() => gpu.requestAdapter({ powerPreference: "high-performance" }));
  if (high && !isSoftware(high.info)) return high;
  const low = await waitGently(() => gpu.requestAdapter({ powerPreference: "low-power" }));
  return low && !isSoftware(low.info) ? low : (high ?? low);
}

function allLimits(limits: GPUSupportedLimits): Record<string, number> {
  const wanted: Record<string, number> = {};
  for (const key in limits) {
    const value = (limits as unknown as Record<string, unknown>)[key];
    if (typeof value === "number") wanted[key] = value;
  }
  return wanted;
}
