import { serialize } from "node:v8";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Manifest,
  manifestOf,
  readManifest,
} from "../../../src/train/cluster/state-manifest.ts";
import {
  decodeWork,
  encodeWork,
  readWorkText,
  type StepWork,
  workText,
} from "../../../src/train/cluster/step-work.ts";
import { codeOf } from "../../support/errors.ts";

const ref = fc.record({
  hash: fc.stringMatching(/^[0-9a-f]{64}$/),
  size: fc.maxSafeNat(),
});

const manifest: fc.Arbitrary<Manifest> = fc
  .record({
    members: fc.array(fc.string({ maxLength: 128 }), { minLength: 1, maxLength: 5 }),
    sync: fc.oneof(
      fc.constantFrom("zero1", "ddp"),
      fc.record({
        every: fc.integer({ min: 1, max: 10_000 }),
        outerLr: fc.double({ min: 1e-6, max: 10, noNaN: true }),
        outerMomentum: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      }),
    ),
    step: fc.nat(),
    updates: fc.nat(),
    momentsSince: fc.nat(),
    parameters: ref,
    patch: fc.option(fc.record({ base: fc.stringMatching(/^[0-9a-f]{64}$/), blob: ref })),
    refs: fc.array(ref, { minLength: 5, maxLength: 5 }),
    reference: fc.option(ref),
    work: fc.option(ref),
  })
  .map(({ refs, ...rest }) => ({
    format: 1,
    ...rest,
    moments: refs.slice(0, rest.sync === "zero1" ? rest.members.length : 1),
  }));

const utf8 = new TextEncoder();

describe("the manifest of a state", () => {
  it("is read as it was written", () => {
    fc.assert(
      fc.property(manifest, (given) => {
        expect(readManifest(manifestOf(given))).toEqual(given);
      }),
    );
  });

  it("is one of a shape that is known, or an error", () => {
    const [good] = fc.sample(manifest, { numRuns: 1, seed: 1 }) as [Manifest];
    expect(() => readManifest(manifestOf(good))).not.toThrow();
    const bad: readonly object[] = [
      { ...good, format: 2 },
      { ...good, more: 1 },
      { ...good, step: -1 },
      { ...good, members: [] },
      { ...good, sync: "diloco" },
      { ...good, sync: { every: 0, outerLr: 0.7, outerMomentum: 0.9 }, moments: [good.parameters] },
      { ...good, sync: { every: 8, outerLr: 0, outerMomentum: 0.9 }, moments: [good.parameters] },
      { ...good, sync: { every: 8, outerLr: 0.7, outerMomentum: 1 }, moments: [good.parameters] },
      { ...good, sync: { every: 8, outerLr: 0.7 }, moments: [good.parameters] },
      { ...good, moments: [...good.moments, ...good.moments] },
      { ...good, parameters: { hash: "00", size: 4 } },
      { ...good, parameters: { ...good.parameters, size: -4 } },
      { ...good, work: undefined },
      {},
    ];
    for (const value of bad)
      expect(codeOf(() => readManifest(utf8.encode(JSON.stringify(value))))).toBe("config_invalid");
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(codeOf(() => readManifest(bytes))).toBe("config_invalid");
      }),
    );
  });
});

/** With all that steps are made of: nothing that JSON has no word for is lost. */
const work = {
  format: 1,
  step: 4,
  collected: {
    episodes: [
      {
        ...{ reward: undefined, takesPart: true, ids: Uint32Array.of(1, 2, 2 ** 32 - 1) },
        logprobs: Float32Array.of(-0, 1e-45, -1.5),
        values: Float64Array.of(Number.NaN, Number.NEGATIVE_INFINITY, 0.1 + 0.2),
      },
    ],
    ...{ lags: [0, 1], droppedGroups: 0, buriedGroups: 0, agentError: undefined },
    ...{ sampledTokens: 3, rolloutMs: 0.1, dataMs: 1e-9 },
  },
  memory: new Map([["task", [1, Number.POSITIVE_INFINITY]]]),
  trainer: {
    format: 1,
    steps: 4,
    now: 12.5,
    scheduler: { version: 4 },
    pool: [],
    speedBaselines: {},
  },
} as unknown as StepWork;

describe("the work of a step", () => {
  it("is what it was, bit for bit", () => {
    const read = decodeWork(encodeWork(work));
    expect(read).toStrictEqual(work);
    const [episode] = read.collected.episodes as unknown as [Record<string, unknown>];
    expect(Object.hasOwn(episode, "reward")).toBe(true);
    // equal bits, and not only equal numbers
    const [before] = work.collected.episodes as unknown as [Record<string, unknown>];
    for (const name of ["ids", "logprobs", "values"]) {
      const [own, other] = [episode, before].map((all) => all[name] as Float32Array);
      expect(Buffer.from(own?.buffer as ArrayBuffer, own?.byteOffset, own?.byteLength)).toEqual(
        Buffer.from(other?.buffer as ArrayBuffer),
      );
    }
  });

  it("is read where it lies in other bytes", () => {
    const bytes = encodeWork(work);
    const among = new Uint8Array(bytes.length + 9);
    among.set(bytes, 5);
    expect(decodeWork(among.subarray(5, 5 + bytes.length))).toStrictEqual(work);
  });

  it("is one of a shape that is known, or an error", () => {
    const { collected, trainer } = work;
    for (const value of [
      ...[undefined, null, 1, "work", [], {}],
      { ...work, format: 2 },
      { ...work, step: 0.5 },
      { ...work, collected: { ...collected, episodes: "none" } },
      { ...work, collected: undefined },
      { ...work, trainer: { ...trainer, format: 2 } },
      { ...work, trainer: null },
    ])
      expect(codeOf(() => decodeWork(serialize(value)))).toBe("config_invalid");
    const whole = encodeWork(work);
    for (const length of [0, 1, 2, whole.length >> 1, whole.length - 1])
      expect(codeOf(() => decodeWork(whole.subarray(0, length)))).toBe("config_invalid");
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(codeOf(() => decodeWork(bytes))).toBe("config_invalid");
      }),
    );
  });
});

describe("where the work of a step lies", () => {
  it("is read as it was written, and from no other text", () => {
    const small = ref.filter(({ size }) => size < 10 ** 15);
    fc.assert(
      fc.property(small, (given) => {
        expect(readWorkText(workText(given))).toEqual(given);
      }),
    );
    const hash = "0a".repeat(32);
    for (const text of [
      "",
      hash,
      `${hash} `,
      `${hash} -1`,
      `${hash} 1 `,
      `${hash.slice(1)} 1`,
      `${hash.toUpperCase()} 1`,
    ])
      expect(codeOf(() => readWorkText(text))).toBe("config_invalid");
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(codeOf(() => readWorkText(text))).toBe("config_invalid");
      }),
    );
  });
});
