/** The database of the shop, wherever it runs. */
import type { Cell, ResultSet } from "./result-set.ts";

/** A database with the shop in it, for reading. */
export interface Database extends AsyncDisposable {
  /**
   * Runs one statement as somebody who may read the shop and nothing else, in a transaction that is read-only and undone.
   *
   * Errors    {@link QueryError}, what the database said.
   */
  query(sql: string): Promise<ResultSet>;
}

/** What a statement may take. */
export interface QueryLimits {
  /** Rows that are handed over at most. Default 50. */
  readonly rows: number;
  /** Milliseconds of wall time. Default 5,000. */
  readonly ms: number;
}

export const DEFAULT_LIMITS: QueryLimits = { rows: 50, ms: 5_000 };

/** What a database said in the place of an answer. */
export class QueryError extends Error {
  /** SQLSTATE, such as 42501 for a want of rights. */
  readonly code: string;

  constructor(message: string, code: string) {
    super(message);
    this.name = "QueryError";
    this.code = code;
  }
}

/** SQLSTATE of a statement that took too long. */
export const QUERY_CANCELED = "57014";

/** A row as the function `answer` gives it. */
export interface AnswerRow {
  readonly names: readonly string[];
  readonly cells: readonly unknown[];
}

/** What was asked of `answer`: one row more than wanted tells whether there are more. */
export function resultSetOf(answers: readonly AnswerRow[], most: number): ResultSet {
  return {
    columns: answers[0]?.names ?? [],
    rows: answers.slice(0, most).map(({ cells }) => cells.map(cellOf)),
    isCut: answers.length > most,
  };
}

function cellOf(value: unknown): Cell {
  return typeof value === "object" && value !== null ? JSON.stringify(value) : (value as Cell);
}
