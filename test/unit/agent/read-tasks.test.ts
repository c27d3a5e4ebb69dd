import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { type ReadTasksOptions, readTasks } from "../../../src/agent/read-tasks.ts";
import { codeOf } from "../../support/errors.ts";

const folder = mkdtempSync(join(tmpdir(), "forge-tasks-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Writes a file and reads it. */
function read<Task>(
  name: string,
  contents: string | Uint8Array,
  options?: ReadTasksOptions<Task>,
): Task[] {
  const path = join(folder, name);
  writeFileSync(path, contents);
  return readTasks(path, options);
}

describe("readTasks of JSON Lines", () => {
  it("reads a task a line, and passes over blank lines", () => {
    expect(read("a.jsonl", '\ufeff{"a":1}\r\n\n  \n[2]\n"\u2028three"')).toEqual([
      ...[{ a: 1 }, [2], "\u2028three"],
    ]);
    expect(readTasks(pathToFileURL(join(folder, "a.jsonl")))).toHaveLength(3);
    expect(read("a.txt", "1\n2\n", { format: "jsonl" })).toEqual([1, 2]);
  });

  it("makes tasks by a schema, and names the line that does not fit", () => {
    const schema = z.object({ n: z.coerce.number().int(), hint: z.string().default("none") });
    expect(read("b.jsonl", '{"n":"1"}\n{"n":2,"hint":"x"}\n', { schema })).toEqual([
      { n: 1, hint: "none" },
      { n: 2, hint: "x" },
    ]);
    expect(() => read("b.jsonl", '{"n":1}\n\n{"n":1.5}\n', { schema })).toThrow(
      /^\[file_invalid\] b\.jsonl, line 3, cannot be read as tasks.*at n/s,
    );
  });

  it("reads whatever JSON can say", () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue(), { minLength: 1 }), (tasks) => {
        const lines = tasks.map((task) => JSON.stringify(task));
        expect(read("c.jsonl", lines.join("\n"))).toEqual(lines.map((line) => JSON.parse(line)));
      }),
      { numRuns: 50 },
    );
  });
});

describe("readTasks of CSV", () => {
  it("reads an object a record, of text", () => {
    const csv = '\ufeffquestion,answer\r\n"1 + 1, or ""so""",2\r\n\r\n"two\nlines",3\n';
    expect(read("a.csv", csv)).toEqual([
      { question: '1 + 1, or "so"', answer: "2" },
      { question: "two\nlines", answer: "3" },
    ]);
  });

  it("names the line that a record begins on", () => {
    const schema = z.object({ n: z.coerce.number() });
    const bad = 'n,t\n1,"a\nb"\n\n\nx,c\n';
    expect(() => read("b.csv", bad, { schema })).toThrow(/b\.csv, line 6,/);
    expect(() => read("b.csv", bad.replaceAll("\n", "\r\n"), { schema })).toThrow(/line 6,/);
    expect(() => read("b.csv", "n,t\n1,2\n3\n", { schema })).toThrow(/b\.csv, line 3,/);
    expect(() => read("b.csv", 'n,t\n1,"2\n', { schema })).toThrow(/file_invalid.*Quote/s);
  });

  it("gives a column any name, and no name to two", () => {
    const [task] = read("c.csv", "__proto__,toString\n1,2\n");
    expect(Object.entries(task as object)).toEqual([
      ["__proto__", "1"],
      ["toString", "2"],
    ]);
    expect(codeOf(() => read("c.csv", "a,b,a\n1,2,3\n"))).toBe("file_invalid");
  });
});

it.each([
  ["is empty", "a.jsonl", ""],
  ["has a line that is no JSON", "a.jsonl", "{}\n{a: 1}"],
  ["has columns and no record", "a.csv", "a,b\n"],
  ["is not UTF-8", "a.jsonl", Uint8Array.of(34, 0xff, 34)],
])("readTasks refuses a file that %s", (_, name, contents) => {
  expect(codeOf(() => read(name, contents))).toBe("file_invalid");
});

it("readTasks refuses a file that is not there, and a name that says no format", () => {
  expect(codeOf(() => readTasks(join(folder, "none.jsonl")))).toBe("file_invalid");
  expect(codeOf(() => readTasks(folder, { format: "csv" }))).toBe("file_invalid");
  expect(codeOf(() => readTasks("tasks.json"))).toBe("argument_invalid");
});
