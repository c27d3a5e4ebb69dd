/**
 * `forge-gpu dashboard`: shows runs in a browser: curves, comparisons, and every rollout token by token.
 */
import { Command } from "commander";
import { serveUntilInterrupted } from "./serving.ts";
import { wholeNumber } from "./values.ts";

/** Options of the command. */
interface DashboardFlags {
  readonly port?: number;
  readonly host: string;
  readonly json?: boolean;
}

/** The `dashboard` command. */
export function dashboardCommand(): Command {
  return new Command("dashboard")
    .description("show runs in a browser: curves, comparisons, and every rollout token by token")
    .argument("[runs...]", "directories of runs, or folders above them (default: runs)")
    .option(
      "--port <number>",
      "port to listen at; 0 takes one that is free (default: 4650, or a free one)",
      wholeNumber(0),
    )
    .option("--host <address>", "address to listen at", "127.0.0.1")
    .option("--json", "print one JSON document, {url}, on stdout once it listens")
    .addHelpText(
      "after",
      `
Runs that are under way are followed. Nothing is written, and nothing leaves this machine. Ctrl-C ends it.`,
    )
    .action(show);
}

async function show(
  runs: readonly string[],
  { port, host, json = false }: DashboardFlags,
): Promise<void> {
  const { checkPlaces, serveDashboard } = await import("../dashboard/server/serve.ts");
  const { isLoopback } = await import("../page-server/guard.ts");
  checkPlaces(runs);
  const places = runs.length > 0 ? runs : ["runs"];
  const dashboard = await serveDashboard({ places, port, host });
  if (!isLoopback(host))
    process.stderr.write(
      "warning  everybody who reaches this machine can read these runs: there is no password\n",
    );
  await serveUntilInterrupted(dashboard, json);
}
