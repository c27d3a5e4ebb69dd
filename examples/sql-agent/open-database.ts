/** Which database the shop is in. */
import { type Database, DEFAULT_LIMITS, type QueryLimits } from "./database.ts";

/**
 * Opens the shop.
 *
 * @param url of a PostgreSQL server, as somebody who may make schemas and roles. Default: one that runs in this process.
 */
export async function openDatabase(
  url?: string,
  limits: QueryLimits = DEFAULT_LIMITS,
): Promise<Database> {
  if (url === undefined) {
    const { EmbeddedDatabase } = await import("./embedded-database.ts");
    return EmbeddedDatabase.open(limits);
  }
  const { ServerDatabase } = await import("./server-database.ts");
  return ServerDatabase.open(url, limits);
}
