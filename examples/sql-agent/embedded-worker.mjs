/** PostgreSQL in a thread of its own, whose owner can end it: nothing in WebAssembly interrupts a statement that runs. */
import { parentPort, workerData } from "node:worker_threads";
import { PGlite } from "@electric-sql/pglite";

const port = /** @type {import("node:worker_threads").MessagePort} */ (parentPort);
const database = await PGlite.create();
await database.exec(workerData.setUp);

port.on("message", async (/** @type {{ sql: string, parameters: unknown[] }} */ statement) => {
  port.postMessage(await answered(statement));
});
port.postMessage("ready");

/** @param {{ sql: string, parameters: unknown[] }} statement */
async function answered({ sql, parameters }) {
  await database.exec("begin transaction read only");
  try {
    return { rows: (await database.query(sql, parameters)).rows };
  } catch (error) {
    const { message, code } = /** @type {Error & { code?: string }} */ (error);
    return { error: { message, code: code ?? "XX000" } };
  } finally {
    await database.exec("rollback");
  }
}
