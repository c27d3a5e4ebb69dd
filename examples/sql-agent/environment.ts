/** Questions about a shop, answered by asking its database: the rows of the last query are the answer. */
import { defineEnvironment, type Environment, type Message } from "forge-gpu";
import { openDatabase } from "./open-database.ts";
import { type Question, trainingQuestion, unseenQuestions } from "./questions.ts";
import { isSameResult } from "./result-set.ts";
import { SharedDatabase } from "./shared-database.ts";
import { lastAnswered, shopTools } from "./tools.ts";

/**
 * The environment.
 *
 * @param databaseUrl of a PostgreSQL server. Default: PGlite, in this process.
 */
export function sqlAgent(databaseUrl?: string): Environment<Question> {
  const database = new SharedDatabase(() => openDatabase(databaseUrl));
  return defineEnvironment<Question>({
    name: "sql-agent",
    tasks: { train: trainingQuestion, eval: unseenQuestions },
    taskId: ({ text }) => text,
    user: ({ text }) => text,
    tools: shopTools(database),
    maxTurns: 4,
    isDone: ({ messages }) => isAnswered(messages.at(-1)),
    rewards: {
      right: async ({ task, toolCalls }) => {
        const sql = lastAnswered(toolCalls);
        if (sql === undefined) return 0;
        const [got, wanted] = await Promise.all([database.query(sql), database.query(task.sql)]);
        return Number(isSameResult(got, wanted, task.isOrdered));
      },
    },
    demonstration: ({ task, turn }) => {
      // where tables meet, somebody careful looks first by what
      const isLooking = turn === 0 && task.tables.length > 1;
      if (isLooking) return { calls: [{ name: "describe", input: { table: "orders" } }] };
      return { calls: [{ name: "query", input: { sql: task.demonstrated ?? task.sql } }] };
    },
    validate: ({ sql }) => ({ calls: [{ name: "query", input: { sql } }] }),
  });
}

/** Whether the database answered a query: an episode ends at the first that it does. */
function isAnswered(message: Message | undefined): boolean {
  return (
    message?.role === "tool" && message.name === "query" && !message.content.startsWith("error: ")
  );
}

export const environment = sqlAgent(process.env["SQL_AGENT_DATABASE_URL"]);
