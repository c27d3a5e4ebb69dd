import fc from "fast-check";
import { expect, it } from "vitest";
import { z } from "zod";
import { ClusterError } from "../../../cluster/error.ts";
import { checksumOf } from "../../../cluster/protocol/checksum.ts";
import { controlCodec } from "../../../cluster/protocol/control-message.ts";

const schema = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("vote"), step: z.int().nonnegative(), yes: z.boolean() }),
  z.strictObject({ kind: z.literal("say"), text: z.string() }),
]);
const codec = controlCodec(schema, 1_000);

it("gives back what it was given", () => {
  const messages = fc.oneof(
    fc.record({ kind: fc.constant("vote" as const), step: fc.nat(), yes: fc.boolean() }),
    fc.record({ kind: fc.constant("say" as const), text: fc.string({ maxLength: 100 }) }),
  );
  fc.assert(
    fc.property(messages, (it) => {
      expect(codec.decode(codec.encode(it))).toEqual({ ...it });
    }),
  );
});

it("takes nothing that is not of the schema, and repeats none of it", () => {
  const wrong = [
    "",
    "nonsense secret",
    "null",
    "[]",
    '{"kind":"secret"}',
    '{"kind":"vote","step":-1,"yes":true}',
    '{"kind":"vote","step":1e999,"yes":true}',
    '{"kind":"vote","step":1,"yes":true,"secret":1}',
    '{"kind":"say","text":"a","__proto__":{"text":"secret"}}',
    `{"kind":"say","text":"${"secret".repeat(200)}"}`,
  ];
  for (const text of wrong) {
    const error = failure(() => codec.decode(sealed(text)));
    expect(error.code, text).toBe("message_invalid");
    expect(`${error.stack} ${String(error.cause)}`).not.toContain("secret");
  }
});

it("never throws anything but what it says, whatever the text", () => {
  const values = fc.oneof(
    fc.string(),
    fc.json(),
    fc.json().map((text) => text.slice(1)),
  );
  fc.assert(
    fc.property(values, fc.boolean(), (text, isSealed) => {
      const error = failure(() => codec.decode(isSealed ? sealed(text) : text));
      expect(error.code).toBe("message_invalid");
    }),
  );
});

it("takes nothing in which bits have changed, wherever they are", () => {
  const bytes = Buffer.from(codec.encode({ kind: "vote", step: 1234567, yes: true }));
  for (let bit = 0; bit < 8 * bytes.length; bit++) {
    const changed = Buffer.from(bytes);
    changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7));
    const error = failure(() => codec.decode(changed.toString("utf8")));
    expect(error).toMatchObject({ code: "message_invalid" });
    expect(error.message).toContain("not as it was sent");
  }
  fc.assert(
    fc.property(fc.subarray([...bytes.keys()], { minLength: 1 }), fc.uint8Array(), (at, values) => {
      const changed = Buffer.from(bytes);
      for (const [i, place] of at.entries()) changed[place] = (values[i] ?? 0) & 127;
      fc.pre(!changed.equals(bytes));
      expect(failure(() => codec.decode(changed.toString("utf8"))).code).toBe("message_invalid");
    }),
  );
});

it("sends nothing that would not be taken", () => {
  const send = (message: unknown): string => failure(() => codec.encode(message as never)).code;
  expect(send({ kind: "vote", step: Number.NaN, yes: true })).toBe("message_invalid");
  expect(send({ kind: "say", text: 1 })).toBe("message_invalid");
  expect(send(undefined)).toBe("message_invalid");
  expect(send({ kind: "say", text: "é".repeat(500) })).toBe("message_invalid");
  expect(codec.encode({ kind: "say", text: "é".repeat(400) }).length).toBe(432);
});

function sealed(text: string): string {
  return checksumOf(text) + text;
}

function failure(act: () => unknown): ClusterError {
  try {
    act();
  } catch (error) {
    if (error instanceof ClusterError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}
