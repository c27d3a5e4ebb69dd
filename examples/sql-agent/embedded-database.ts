/** The shop in PGlite: PostgreSQL as WebAssembly, in a thread of this process. */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import {
  type AnswerRow,
  type Database,
  QUERY_CANCELED,
  QueryError,
  type QueryLimits,
  resultSetOf,
} from "./database.ts";
import type { ResultSet } from "./result-set.ts";
import { SCHEMA, shopSql } from "./shop.ts";

/** What the thread says to a statement. */
type Reply =
  | { readonly rows: readonly AnswerRow[] }
  | { readonly error: { readonly message: string; readonly code: string } };

/** Statements run one after the other. One that takes too long ends the thread; the next starts another, with the same shop. */
export class EmbeddedDatabase implements Database {
  readonly #limits: QueryLimits;
  #worker: Promise<Worker> | undefined;
  /** The last statement of the line. */
  #last: Promise<unknown> = Promise.resolve();

  private constructor(limits: QueryLimits) {
    this.#limits = limits;
  }

  /** Starts the database: seconds, and some 700 MB. */
  static async open(limits: QueryLimits): Promise<EmbeddedDatabase> {
    const database = new EmbeddedDatabase(limits);
    await database.#running();
    return database;
  }

  query(sql: string): Promise<ResultSet> {
    const answer = this.#last.then(() => this.#ask(sql));
    this.#last = answer.catch(() => undefined);
    return answer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#last;
    await this.#end();
  }

  async #ask(sql: string): Promise<ResultSet> {
    const { rows: most, ms } = this.#limits;
    const worker = await this.#running();
    const late = new AbortController();
    // where this thread was busy for so long, an answer that waits is read first
    const timer = setTimeout(() => setImmediate(() => late.abort()), ms);
    worker.postMessage({
      sql: `select names, cells from ${SCHEMA}.answer($1, $2)`,
      parameters: [sql, most + 1],
    });
    try {
      const [reply] = (await once(worker, "message", { signal: late.signal })) as [Reply];
      if ("error" in reply) throw new QueryError(reply.error.message, reply.error.code);
      return resultSetOf(reply.rows, most);
    } catch (error) {
      if (error instanceof QueryError) throw error;
      await this.#end();
      // in the words of a server
      if (late.signal.aborted)
        throw new QueryError("canceling statement due to statement timeout", QUERY_CANCELED);
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  #running(): Promise<Worker> {
    this.#worker ??= startWorker();
    return this.#worker;
  }

  async #end(): Promise<void> {
    const worker = await this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }
}

async function startWorker(): Promise<Worker> {
  const worker = new Worker(new URL("./embedded-worker.mjs", import.meta.url), {
    // the first answer takes a while: what it needs is compiled
    workerData: { setUp: `${shopSql()} select from ${SCHEMA}.answer('select 1', 1);` },
  });
  await once(worker, "message");
  // a process that has nothing else to do may end
  worker.unref();
  return worker;
}
