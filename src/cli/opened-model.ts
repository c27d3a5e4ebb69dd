/** A model that a command has opened: on a device, with all that belongs to it. */
import { type Device, openDevice, setDefaultDevice } from "../../engine/index.ts";
import { resolveModelDirectory } from "../hub/resolve.ts";
import { type ModelDirectory, openModelDirectory } from "../models/directory.ts";
import { keepTuning } from "../tuning/store.ts";
import { LateProgress } from "./late-progress.ts";
import { manifest } from "./manifest.ts";
import type { ModelFlags } from "./model.ts";

/** A model on a device. Disposing it frees both. */
export interface OpenedModel extends AsyncDisposable {
  readonly directory: ModelDirectory;
  readonly device: Device;
  /** Milliseconds that opening both took. */
  readonly loadMs: number;
}

/** Opens a model by its directory or its name. Errors: `model_not_found`; those of loading; the signal's reason. */
export async function openModel(
  nameOrDirectory: string,
  { dtype, adapter }: ModelFlags,
  signal?: AbortSignal,
): Promise<OpenedModel> {
  const started = performance.now();
  const path = resolveModelDirectory(nameOrDirectory);
  const device = await openDevice(adapter === undefined ? {} : { adapter });
  const display = new LateProgress(`loading ${nameOrDirectory}`, "B");
  try {
    keepTuning(device);
    setDefaultDevice(device);
    const onProgress = (done: number, total: number): void => {
      signal?.throwIfAborted();
      display.update(done, total);
    };
    const directory = await openModelDirectory(path, { device, dtype, onProgress });
    const dispose = async (): Promise<void> => {
      await directory.close();
      device[Symbol.dispose]();
    };
    const loadMs = performance.now() - started;
    return { directory, device, loadMs, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    device[Symbol.dispose]();
    throw error;
  } finally {
    display.end();
  }
}

/** What a figure was made with, for JSON documents. */
export function circumstances({ directory, device }: OpenedModel): {
  readonly model: { readonly path: string; readonly family: string };
  readonly adapter: { readonly name: string; readonly isSoftware: boolean };
  readonly versions: Readonly<Record<string, string>>;
} {
  return {
    model: { path: directory.path, family: directory.model.family },
    adapter: { name: device.name, isSoftware: device.isSoftware },
    versions: { "forge-gpu": manifest.version, node: process.version },
  };
}
