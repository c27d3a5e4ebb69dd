/**
 * `forge-gpu tuning`: the kernel choices that have been saved for this machine's adapters.
 */
import { Command } from "commander";
import { clearTunings, freezeTunings, type SavedTuning, savedTunings } from "../tuning/store.ts";

/** The `tuning` command. */
export function tuningCommand(): Command {
  const tuning = new Command("tuning").description(
    "show, clear or freeze which kernels are used: verified and timed once per adapter, then saved",
  );
  tuning
    .command("show")
    .description("list the saved choices of each adapter, with their times in milliseconds")
    .option("--json", "print one JSON document on stdout")
    .action((options: { readonly json?: true }) => {
      const tables = savedTunings();
      const text = options.json ? JSON.stringify({ tables }, null, 2) : describe(tables);
      process.stdout.write(`${text}\n`);
    });
  tuning
    .command("clear")
    .description("delete the saved choices: the next run verifies and times again")
    .action(() => {
      process.stdout.write(`${count(clearTunings())} deleted\n`);
    });
  tuning
    .command("freeze")
    .description(
      "use the saved choices as they are from now on, and never time: same choices, same bits",
    )
    .option("--off", "let the saved tables be tuned again")
    .action((options: { readonly off?: true }) => {
      const tables = freezeTunings(options.off !== true);
      const state = options.off ? "no longer frozen" : "frozen";
      process.stdout.write(`${count(tables.length)} ${state}\n`);
    });
  return tuning;
}

function count(tables: number): string {
  return tables === 1 ? "1 table" : `${tables} tables`;
}

function describe(tables: readonly SavedTuning[]): string {
  if (tables.length === 0) return "nothing is saved: kernels are verified at their first use";
  return tables.map(describeTable).join("\n\n");
}

function describeTable(table: SavedTuning): string {
  const choices = Object.entries(table.choices).map(([key, { variant, ms }]) => {
    const times = Object.entries(ms).map(([name, time]) => `${name} ${time.toFixed(3)} ms`);
    return `  ${key}\n    ${variant}${times.length > 0 ? `  (${times.join(" · ")})` : ""}`;
  });
  const rejected = Object.entries(table.rejected).map(([id, why]) => `  ${id}\n    ${why}`);
  return [
    `${table.adapter}${table.isFrozen ? "  [frozen]" : ""}`,
    `  ${table.file}`,
    `  ${table.verified.length} kernels verified, ${choices.length} classes timed, ${rejected.length} kernels rejected`,
    ...choices,
    ...(rejected.length > 0 ? ["rejected:", ...rejected] : []),
  ].join("\n");
}
