/** What a figure was measured on: a figure without it means nothing. */
import { cpus, release } from "node:os";
import type { Device } from "../../engine/index.ts";

/** The machine without its adapter, and the versions. */
export interface Host {
  /** Day, ISO 8601. */
  readonly date: string;
  readonly cpu: string;
  readonly cores: number;
  readonly system: string;
  readonly node: string;
  readonly versions: Readonly<Record<string, string>>;
}

/** The machine, the adapter and the versions. */
export interface Machine extends Host {
  readonly adapter: string;
  readonly driver: string;
  /** Figures of a software adapter are never figures of a GPU. */
  readonly isSoftware: boolean;
  readonly toggles: readonly string[];
}

/** Describes this machine, whatever adapter it has. */
export function hostOf(versions: Readonly<Record<string, string>>): Host {
  const processors = cpus();
  return {
    date: new Date().toISOString().slice(0, 10),
    cpu: processors[0]?.model.trim() ?? "unknown",
    cores: processors.length,
    system: `${process.platform} ${process.arch} ${release()}`,
    node: process.version,
    versions,
  };
}

/** Describes this machine with a device of it. */
export function machineOf(device: Device, versions: Readonly<Record<string, string>>): Machine {
  const { vendor, architecture, device: model, description } = device.info;
  return {
    ...hostOf(versions),
    adapter: [vendor, architecture, model].filter(Boolean).join(" ") || "unknown",
    driver: description || "unknown",
    isSoftware: device.isSoftware,
    toggles: device.toggles,
  };
}

/** The machine without its adapter in two lines of Markdown. */
export function hostText({ date, cpu, cores, system, node, versions }: Host): string {
  const names = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return [
    `- ${date}, ${names.join(", ")}, Node ${node}`,
    `- ${cpu}, ${cores} cores, ${system}`,
  ].join("\n");
}

/** The machine in a few lines of Markdown. */
export function machineText(machine: Machine): string {
  const { adapter, driver, toggles } = machine;
  const kind = machine.isSoftware ? "software adapter: no GPU took part" : "hardware adapter";
  return [
    hostText(machine),
    `- ${adapter} (${kind}): ${driver}`,
    `- Dawn toggles: ${toggles.join(", ") || "none"}`,
  ].join("\n");
}
