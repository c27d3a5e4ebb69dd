import { describe, expect, expectTypeOf, it } from "vitest";
import { z } from "zod";
import * as mini from "zod/mini";
import { tool } from "../../../../src/agent/tool/tool.ts";
import { codeOf } from "../../../support/errors.ts";

const input = z.object({
  city: z.string().describe("Where."),
  days: z.int().default(1),
});

describe("tool", () => {
  it("tells models of its input as JSON Schema, without what tells them nothing", () => {
    const forecast = tool({ description: "The weather.", input, run: () => "rain" });
    expect(forecast.inputSchema).toEqual({
      type: "object",
      properties: {
        city: { type: "string", description: "Where." },
        days: { type: "integer", default: 1 },
      },
      required: ["city"],
    });
    expect(forecast.description).toBe("The weather.");
  });

  it("keeps bounds that somebody has set", () => {
    const { inputSchema } = tool({ input: z.object({ n: z.int().min(-3).max(9) }), run: () => 0 });
    expect(inputSchema["properties"]).toEqual({
      n: { type: "integer", minimum: -3, maximum: 9 },
    });
  });

  it("gives the function what the schema makes of an input", () => {
    const forecast = tool({
      input,
      run: (given) => {
        expectTypeOf(given).toEqualTypeOf<{ city: string; days: number }>();
        return given.days;
      },
    });
    expect(forecast.parse({ city: "Oslo", wind: 3 })).toEqual({ city: "Oslo", days: 1 });
    const times = tool({ input: z.object({ at: z.coerce.number() }), run: ({ at }) => at });
    expect(times.parse({ at: "7" })).toEqual({ at: 7 });
  });

  it("takes schemas of zod/mini", () => {
    const add = tool({
      input: mini.object({ a: mini.number(), b: mini.number() }),
      run: ({ a, b }) => a + b,
    });
    expect(add.parse({ a: 1, b: 2 })).toEqual({ a: 1, b: 2 });
    expect(codeOf(() => add.parse({ a: 1 }))).toBe("tool_input_invalid");
  });

  it.each([undefined, null, 3, "Oslo", [], {}, { city: 3 }, { city: "Oslo", days: 1.5 }])(
    "refuses %j",
    (given) => {
      const forecast = tool({ input, run: () => "" });
      expect(codeOf(() => forecast.parse(given))).toBe("tool_input_invalid");
    },
  );

  it("says where an input does not fit", () => {
    const nested = tool({
      input: z.object({ rows: z.array(z.object({ id: z.number() })) }),
      run: () => "",
    });
    expect(() => nested.parse({ rows: [{ id: 1 }, { id: "2" }] })).toThrow(/rows\[1\]\.id: /);
  });

  it.each([
    ["text", z.string()],
    ["a list", z.array(z.number())],
    ["one of several objects", z.union([z.object({ a: z.string() }), z.object({ b: z.string() })])],
    ["a date", z.object({ at: z.date() })],
    ["a bigint", z.object({ n: z.bigint() })],
  ])("cannot have %s as its input", (_, schema) => {
    expect(codeOf(() => tool({ input: schema as z.ZodType<object>, run: () => "" }))).toBe(
      "argument_invalid",
    );
  });

  it.each([{ timeoutMs: 0 }, { timeoutMs: -1 }, { timeoutMs: Number.NaN }, { maxOutput: 0 }])(
    "cannot have the limits %j",
    (limits) => {
      expect(codeOf(() => tool({ input, run: () => "", ...limits }))).toBe("argument_invalid");
    },
  );
});
