/** One shop for all episodes: opened when it is first asked, and asked once for the same. */
import { type Database, QUERY_CANCELED, QueryError } from "./database.ts";
import type { ResultSet } from "./result-set.ts";

/** Answers that are kept. */
const MOST_KEPT = 10_000;

/**
 * Nothing changes the shop, so an answer stays right, as does a refusal that is not about time. The plays of a group often ask
 * alike.
 */
export class SharedDatabase implements Database {
  readonly #open: () => Promise<Database>;
  #database: Promise<Database> | undefined;
  readonly #answers = new Map<string, Promise<ResultSet>>();

  /** @param open called when there is something to ask */
  constructor(open: () => Promise<Database>) {
    this.#open = open;
  }

  query(sql: string): Promise<ResultSet> {
    const known = this.#answers.get(sql);
    if (known !== undefined) return known;
    if (this.#answers.size >= MOST_KEPT) this.#answers.clear();
    this.#database ??= this.#open();
    const answer = this.#database.then((database) => database.query(sql));
    this.#answers.set(sql, answer);
    answer.catch((error) => {
      const isFinal = error instanceof QueryError && error.code !== QUERY_CANCELED;
      if (!isFinal) this.#answers.delete(sql);
    });
    return answer;
  }

  /** Closes the database. The next query opens it again. */
  async [Symbol.asyncDispose](): Promise<void> {
    const database = await this.#database?.catch(() => undefined);
    this.#database = undefined;
    this.#answers.clear();
    await database?.[Symbol.asyncDispose]();
  }
}
