/** `tsx test/bench/scaling-table.ts`: writes the tables of docs/scaling.md. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { withTables } from "./scaling.ts";

const page = join(import.meta.dirname, "../../docs/scaling.md");
writeFileSync(page, withTables(readFileSync(page, "utf8")));
