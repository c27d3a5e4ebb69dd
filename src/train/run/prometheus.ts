/**
 * The metrics of the last step as Prometheus reads them, version 0.0.4 of its text format:
 * https://prometheus.io/docs/instrumenting/exposition_formats/
 */

import { metricEntry } from "./metric-catalogue.ts";
import type { Metrics, MetricsWriter } from "./metrics.ts";

/** What {@link exposition} is answered as. */
export const PROMETHEUS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** A figure of a process. */
export interface Gauge {
  /** As in `losses/grad_norm`, which becomes `forge_gpu_losses_grad_norm`. */
  readonly name: string;
  readonly value: number;
  /** One line. Default: none. */
  readonly help?: string;
}

/** Keeps the metrics of the last step. */
export class LastMetrics implements MetricsWriter {
  #gauges: readonly Gauge[] = [];

  /** Of that step, with what the catalogue says of them; none before the first. */
  get gauges(): readonly Gauge[] {
    return this.#gauges;
  }

  write(step: number, metrics: Metrics, wallTime: number): void {
    this.#gauges = [
      { name: "step", value: step, help: "the last step whose metrics were written" },
      { name: "step/wall_time", value: wallTime, help: "when that was, in seconds since 1970" },
      ...Object.entries(metrics).map(([name, value]) => {
        const { meaning, unit = "1" } = metricEntry(name) ?? {};
        return { name, value, ...(meaning && { help: `${meaning}; unit: ${unit}` }) };
      }),
    ];
  }

  flush(): void {}

  close(): void {}
}

/** Gauges as text. Of several with one name the first is told: a name may be there once. */
export function exposition(gauges: readonly Gauge[]): string {
  const byName = new Map<string, Gauge>();
  for (const gauge of gauges) {
    const name = `forge_gpu_${gauge.name.replace(/[^A-Za-z0-9_]/g, "_")}`;
    if (!byName.has(name)) byName.set(name, gauge);
  }
  return [...byName]
    .map(([name, { value, help }]) => {
      const about = help === undefined ? [] : [`# HELP ${name} ${escaped(help)}`];
      return `${[...about, `# TYPE ${name} gauge`, `${name} ${shown(value)}`].join("\n")}\n`;
    })
    .join("");
}

function escaped(help: string): string {
  return help.replace(/\\/g, "\\\\").replace(/\n/g, "\\n");
}

function shown(value: number): string {
  if (Number.isFinite(value)) return String(value);
  return Number.isNaN(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf";
}
