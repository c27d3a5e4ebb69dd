import { resolve } from "node:path";
import { expect, it } from "vitest";
import type { z } from "zod";
import { schema } from "../../../src/train/config/schema.ts";
import { describe, keysOf } from "../../../src/train/config/schema-walk.ts";
import { configReference } from "../../support/config-reference.ts";

function everyKey(of: z.ZodType, prefix = ""): [string, z.ZodType][] {
  return keysOf(of).flatMap(([key, child]) => [
    [`${prefix}${key}`, child] as [string, z.ZodType],
    ...everyKey(child, `${prefix}${key}.`),
  ]);
}

it("docs/configuration.md is what the schemas say (run with --update to write it)", async () => {
  const page = resolve(import.meta.dirname, "../../../docs/configuration.md");
  await expect(configReference()).toMatchFileSnapshot(page);
});

it("every key says what it means and what it takes", () => {
  const undescribed = everyKey(schema).filter(([, child]) => {
    const { description, expected } = describe(child);
    return !/\.$/.test(description) || expected === "value";
  });
  expect(undescribed.map(([name]) => name)).toEqual([]);
});
