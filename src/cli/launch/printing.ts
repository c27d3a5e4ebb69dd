/** Settings of a node as people and programs read them. None of them is a secret: a token is named by its file. */
import type { NodeSettings } from "../node-settings.ts";
import type { Setting } from "./launch.ts";
import { shownTime } from "./rule.ts";

/** One line a setting: its name, its value, and where that is from. */
export function settingsText({ warnings, ...settings }: NodeSettings): string {
  const rows = Object.entries(settings).map(([name, { value, source }]) => {
    return [name, shown(name, value), source];
  });
  const widths = [0, 1].map((i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  const lines = rows.map((row) => {
    return row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join("  ")
      .trimEnd();
  });
  return [...lines, ...warnings.map((warning) => `warning  ${warning}`)].join("\n");
}

/** As {@link settingsText}; values as programs take them, null for none. */
export function settingsDocument({
  warnings,
  ...settings
}: NodeSettings): Readonly<Record<string, unknown>> {
  const entries = Object.entries<Setting<unknown>>(settings);
  const document = entries.map(([name, { value, source }]) => {
    return [name, { value: value ?? null, source }];
  });
  return { ...Object.fromEntries(document), warnings };
}

/** As flags take them. */
function shown(name: string, value: unknown): string {
  if (value === undefined) return "-";
  if (Array.isArray(value)) return value.join(",") || "-";
  if (typeof value === "number" && /^(heartbeat|joinTimeout)$/.test(name)) return shownTime(value);
  if (typeof value !== "object" || value === null) return String(value);
  if ("steps" in value) return `diloco:${value.steps}`;
  if ("kind" in value) return String(value.kind);
  return Object.values(value).join(":");
}
