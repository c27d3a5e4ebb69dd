/** Trains the agent, on a server of one's own where one is named: tsx examples/sql-agent/main.ts --database-url postgres://… */
import { join } from "node:path";
import { Command } from "commander";
import { createTrainView, getDefaultDevice, loadConfig, train } from "forge-gpu";

interface Flags {
  readonly databaseUrl?: string;
  readonly set: string[];
}

const { databaseUrl, set } = new Command("sql-agent")
  .description("train an agent that answers questions about a shop from its PostgreSQL database")
  .option(
    "--database-url <url>",
    "PostgreSQL server, as somebody who may make schemas and roles (default: PGlite, in this process)",
  )
  .option(
    "--set <key=value>",
    "change a key of sql-agent.yaml; may be repeated",
    (setting: string, before: string[]) => [...before, setting],
    [],
  )
  .parse()
  .opts<Flags>();

// read by environment.ts, which the configuration names
if (databaseUrl !== undefined) process.env["SQL_AGENT_DATABASE_URL"] = databaseUrl;
const loaded = await loadConfig(join(import.meta.dirname, "sql-agent.yaml"), { overrides: set });
const view = createTrainView({ steps: loaded.config.train.steps });
const { before, after, directory } = await train({
  ...{ loaded, view, device: await getDefaultDevice() },
});
const percent = (share = 0): string => `${Math.round(100 * share)} %`;
view.end(
  `questions answered: ${percent(before?.passAt[1])} → ${percent(after?.passAt[1])}, run ${directory}`,
);
