/** JSON documents on stdout. */

/** Characters of a line that is not broken. */
const WIDTH = 100;

/** Prints a document, indented; what fits on a line, and lists of numbers, are on one. */
export function printJson(document: object): void {
  process.stdout.write(`${text(JSON.parse(JSON.stringify(document)), "")}\n`);
}

function text(value: unknown, indent: string): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const isList = Array.isArray(value);
  const inner = `${indent}  `;
  const items = isList
    ? value.map((item) => text(item, inner))
    : Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${text(item, inner)}`);
  const isFlat = isList && value.every((item) => typeof item === "number" || item === null);
  const line = items.join(", ");
  if (isFlat || (!line.includes("\n") && inner.length + line.length <= WIDTH))
    return isList ? `[${line}]` : `{${line}}`;
  const lines = items.map((item) => `${inner}${item}`).join(",\n");
  return isList ? `[\n${lines}\n${indent}]` : `{\n${lines}\n${indent}}`;
}
