/** What `forge-gpu export` does: rebuilds the model of a checkpoint, and writes it. */
import { readdirSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { type FloatDType, openDevice, setDefaultDevice } from "../../engine/index.ts";
import { bytesText } from "../terminal/units.ts";
import { type ExportFormat, exportPolicy } from "../train/policy/export.ts";
import { openRunPolicy } from "../train/policy/run-policy.ts";
import { printJson } from "./json.ts";
import { LateProgress } from "./late-progress.ts";
import { manifest } from "./manifest.ts";

/** What the command line says. */
export interface ExportFlags {
  readonly to: string;
  readonly format?: ExportFormat;
  readonly step?: number;
  readonly best?: true;
  readonly dtype?: "f32" | "f16" | "bf16";
  readonly base?: string;
  readonly force?: true;
  readonly adapter?: string;
  readonly json?: true;
}

const DTYPES: Readonly<Record<string, FloatDType>> = { f32: "F32", f16: "F16", bf16: "BF16" };

/** Runs the command. */
export async function exportRun(run: string, flags: ExportFlags): Promise<void> {
  const { to, format, step, best, dtype, base, force, adapter } = flags;
  using device = await openDevice(adapter === undefined ? {} : { adapter });
  setDefaultDevice(device);
  const display = new LateProgress(`loading ${base ?? "the model"}`, "B");
  await using policy = await openRunPolicy(run, {
    device,
    ...(step !== undefined && { choice: { step } }),
    ...(best && { choice: "best" }),
    ...(base !== undefined && { base }),
    onProgress: (done, total) => display.update(done, total),
  }).finally(() => display.end());
  const { model, from, files, checkpoint } = policy;
  const path = resolve(to);
  const written = await exportPolicy({
    ...{ device, model, files, to: path },
    ...(format && { format }),
    ...(dtype && { dtype: DTYPES[dtype] as FloatDType }),
    ...(from && { from }),
    ...(force && { overwrite: force }),
  });
  const sizes = readdirSync(path).map((name) => {
    return { name, bytes: statSync(join(path, name)).size };
  });
  const bytes = sizes.reduce((sum, file) => sum + file.bytes, 0);
  const summary = `step ${checkpoint.step}, ${written}, ${sizes.length} files, ${bytesText(bytes)}`;
  process.stderr.write(`${summary}\n`);
  if (!flags.json) process.stdout.write(`${path}\n`);
  else
    printJson({
      ...{ directory: path, format: written, files: sizes, checkpoint },
      adapter: { name: device.name, isSoftware: device.isSoftware },
      versions: { "forge-gpu": manifest.version, node: process.version },
    });
}
