/**
 * Opens a WebGPU device and says what it is: run in a process of its own, because a broken driver ends its process.
 *
 * node probe.mjs '{"icd": …, "loader": …}'   prints a JSON object, or null when there is no adapter
 */
import { constants } from "node:os";

const RTLD_NODELETE = 0x1000;

/** @type {{ icd: string | null, loader: string | null }} */
const { icd, loader } = JSON.parse(process.argv[2] ?? '{"icd":null,"loader":null}');
if (icd !== null) process.env["VK_ICD_FILENAMES"] = icd;
if (loader !== null) {
  try {
    // Dawn asks for "libvulkan.so.1" by name and takes one that is already in the process.
    process.dlopen({ exports: {} }, loader, constants.dlopen.RTLD_NOW | RTLD_NODELETE);
  } catch {
    // Node finds that it is no addon, which is so; it stays loaded all the same.
  }
}

const { create } = await import("webgpu");
// Dawn ends the process when this object is collected.
const gpu = create([]);
const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
const device = await adapter?.requestDevice();
const { vendor, architecture, device: model, description } = adapter?.info ?? {};
const answer = device ? { vendor, architecture, device: model, description } : null;
process.stdout.write(JSON.stringify(answer), () => process.exit(gpu ? 0 : 1));
