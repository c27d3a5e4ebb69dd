/** The shop on a PostgreSQL server. */
import pg from "pg";
import {
  type AnswerRow,
  type Database,
  QueryError,
  type QueryLimits,
  resultSetOf,
} from "./database.ts";
import type { ResultSet } from "./result-set.ts";
import { SCHEMA, shopSql } from "./shop.ts";

/** Statements that run at once. */
const CONNECTIONS = 4;

/** Statements run side by side, and the server keeps time. */
export class ServerDatabase implements Database {
  readonly #pool: pg.Pool;
  readonly #limits: QueryLimits;

  private constructor(pool: pg.Pool, limits: QueryLimits) {
    this.#pool = pool;
    this.#limits = limits;
  }

  /** Makes the shop on the server at `url`, in the place of one that is there. Errors: those of the server. */
  static async open(url: string, limits: QueryLimits): Promise<ServerDatabase> {
    const pool = new pg.Pool({ connectionString: url, max: CONNECTIONS, allowExitOnIdle: true });
    // a connection that is lost while nobody uses it: the pool makes another
    pool.on("error", () => undefined);
    try {
      await pool.query(shopSql());
    } catch (error) {
      await pool.end();
      throw error;
    }
    return new ServerDatabase(pool, limits);
  }

  async query(sql: string): Promise<ResultSet> {
    const { rows: most, ms } = this.#limits;
    const client = await this.#pool.connect();
    let broken: Error | undefined;
    try {
      await client.query(`begin transaction read only; set local statement_timeout = ${ms}`);
      const { rows } = await client.query<AnswerRow>(
        `select names, cells from ${SCHEMA}.answer($1, $2)`,
        [sql, most + 1],
      );
      return resultSetOf(rows, most);
    } catch (error) {
      if (error instanceof pg.DatabaseError)
        throw new QueryError(error.message, error.code ?? "XX000");
      throw error;
    } finally {
      await client.query("rollback").catch((error: Error) => {
        broken = error;
      });
      client.release(broken);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.end();
  }
}
