/**
 * Opens WebGPU in Node through the npm package `webgpu` (Dawn). The only file of the engine that knows Node.
 *
 * Everything here is loaded lazily, so that a browser bundle never reaches it.
 */

/** Dawn toggles asked for always: tensor cores and f16 on NVIDIA are behind them. */
const BASE_TOGGLES = ["allow_unsafe_apis", "vulkan_enable_f16_on_nvidia"];
/** Release runs: our kernels are in bounds and initialise their workgroup memory, so the driver need not check. */
const RELEASE_TOGGLES = ["disable_robustness", "skip_validation", "disable_workgroup_init"];
/** Timestamps in steps of 65 µs would hide the small kernels from a profile. */
const DISABLED_TOGGLES = ["timestamp_quantization"];

/** A GPU object of Dawn and the toggles it was made with. */
export interface DawnInstance {
  readonly gpu: GPU;
  readonly toggles: readonly string[];
}

/**
 * GPU objects are kept for the life of the process: when one is collected while anything made from it is alive,
 * Dawn aborts the process (dawn-gpu/node-webgpu#18).
 */
const kept: DawnInstance[] = [];

/** Creates a Dawn instance. With `debug`, validation and robustness stay on. */
export async function createDawn(debug: boolean, adapter?: string): Promise<DawnInstance> {
  const specifier = "webgpu";
  const { create } = (await import(/* @vite-ignore */ specifier)) as {
    create: (flags: string[]) => GPU;
  };
  const toggles = debug ? BASE_TOGGLES : [...BASE_TOGGLES, ...RELEASE_TOGGLES];
  const flags = [
    `enable-dawn-features=${toggles.join(",")}`,
    `disable-dawn-features=${DISABLED_TOGGLES.join(",")}`,
  ];
  if (adapter !== undefined) flags.push(`adapter=${adapter}`);
  const disabled = DISABLED_TOGGLES.map((toggle) => `${toggle} off`);
  const instance = { gpu: create(flags), toggles: [...toggles, ...disabled] };
  kept.push(instance);
  return instance;
}

/** What the set-up recorded about a Vulkan driver that it brought. */
interface VulkanRecord {
  readonly icd: string | null;
  readonly loader: string | null;
}

/**
 * Makes the software Vulkan driver that `npm run setup` brought visible to this process.
 *
 * Returns false when none is recorded, or when it is already in force.
 */
export async function usePreparedVulkan(): Promise<boolean> {
  const [fs, os, path] = await nodeBuiltins();
  const cache = process.env["XDG_CACHE_HOME"] ?? path.join(os.homedir(), ".cache");
  const file = path.join(cache, "forge-gpu", "vulkan.json");
  if (!fs.existsSync(file)) return false;
  const record = JSON.parse(fs.readFileSync(file, "utf8")) as VulkanRecord;
  if (record.icd === null && record.loader === null) return false;
  if (record.icd !== null) process.env["VK_ICD_FILENAMES"] = record.icd;
  if (record.loader !== null) {
    try {
      // Dawn opens "libvulkan.so.1" by name; a library of that name that is already in the process is taken. NODELETE
      // keeps it there although Node closes it again after finding that it is no addon.
      const RTLD_NODELETE = 0x1000;
      process.dlopen({ exports: {} }, record.loader, os.constants.dlopen.RTLD_NOW | RTLD_NODELETE);
    } catch {
      // expected: "module did not self-register"
    }
  }
  return true;
}

async function nodeBuiltins(): Promise<
  [typeof import("node:fs"), typeof import("node:os"), typeof import("node:path")]
> {
  const [fs, os, path] = ["node:fs", "node:os", "node:path"];
  return [
    (await import(/* @vite-ignore */ fs)) as typeof import("node:fs"),
    (await import(/* @vite-ignore */ os)) as typeof import("node:os"),
    (await import(/* @vite-ignore */ path)) as typeof import("node:path"),
  ];
}
