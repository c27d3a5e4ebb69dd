/** What an agent may do with the shop: see its tables, and ask its database. */
import { type ToolCallRecord, type ToolSet, tool } from "forge-gpu";
import { z } from "zod";
import type { Database } from "./database.ts";
import { showResult } from "./result-set.ts";
import { SCHEMA } from "./shop.ts";

/** Rows that an agent is shown at most: the rest would fill its memory and tell it nothing. */
const MOST_SHOWN = 6;

const TABLES = `
  select relname from pg_class
  where relnamespace = '${SCHEMA}'::regnamespace and relkind = 'r'
  order by relname`;

const columnsOf = (table: string): string => `
  select attname, format_type(atttypid, atttypmod) from pg_attribute
  where attrelid = (select oid from pg_class where relnamespace = '${SCHEMA}'::regnamespace and relname = ${quoted(table)})
    and attnum > 0 and not attisdropped
  order by attnum`;

/** The tools, over a database that they close. What it says in the place of an answer is told to the agent. */
export function shopTools(database: Database): ToolSet & AsyncDisposable {
  return {
    [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
    list_tables: tool({
      description: "Names of the tables.",
      input: z.object({}),
      run: async () => showResult(await database.query(TABLES)),
    }),
    describe: tool({
      description: "Columns of a table and their types.",
      input: z.object({ table: z.string() }),
      run: async ({ table }) => {
        const columns = await database.query(columnsOf(table));
        if (columns.rows.length === 0) throw new Error(`relation "${table}" does not exist`);
        return showResult(columns);
      },
    }),
    query: tool({
      description: "Rows that a statement in SQL (PostgreSQL) gives. It can change nothing.",
      input: z.object({ sql: z.string() }),
      run: async ({ sql }) => showResult(await database.query(sql), MOST_SHOWN),
    }),
  };
}

/** The SQL of the last query that the database answered, if there is one. */
export function lastAnswered(calls: readonly ToolCallRecord[]): string | undefined {
  const call = calls.findLast(({ name, status }) => name === "query" && status === "ok");
  return call && (call.input as { readonly sql: string }).sql;
}

/** A text as a literal of SQL. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
