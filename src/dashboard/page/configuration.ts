/** Configurations as rows of dotted keys. */

/** The leaves of a document by dotted key; lists are leaves. */
export function leavesOf(value: unknown, path = ""): [key: string, value: unknown][] {
  const isBranch = typeof value === "object" && value !== null && !Array.isArray(value);
  const entries = isBranch ? Object.entries(value) : [];
  if (entries.length === 0) return path === "" ? [] : [[path, value]];
  return entries.flatMap(([key, inner]) => leavesOf(inner, path === "" ? key : `${path}.${key}`));
}

/** A key with what each of several documents says; undefined for one that does not have it. */
export interface KeyRow {
  readonly key: string;
  readonly values: readonly unknown[];
  readonly isSame: boolean;
}

/** The keys of several documents, in the order in which they first come. */
export function keyRows(documents: readonly unknown[]): KeyRow[] {
  const leaves = documents.map((document) => new Map(leavesOf(document)));
  const keys = [...new Set(leaves.flatMap((map) => [...map.keys()]))];
  return keys.map((key) => {
    const values = leaves.map((map) => map.get(key));
    const texts = new Set(values.map((value) => JSON.stringify(value)));
    return { key, values, isSame: texts.size === 1 };
  });
}
