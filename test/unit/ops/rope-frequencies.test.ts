import { describe, expect, it } from "vitest";
import { packFrequencies, ropeFrequencies } from "../../../engine/ops/rope-frequencies.ts";
import { codeOf } from "../../support/errors.ts";
import { expectClose } from "../../support/gpu.ts";

describe("ropeFrequencies", () => {
  it("is a geometric series from 1 down to 1 / theta", () => {
    const frequencies = ropeFrequencies({ rotarySize: 8, theta: 10_000 });
    expectClose(frequencies, [1, 0.1, 0.01, 0.001], { abs: 0, rel: 1e-15 });
  });

  it("divides all by the factor of linear scaling", () => {
    const scaling = { kind: "linear", factor: 4 } as const;
    const frequencies = ropeFrequencies({ rotarySize: 4, theta: 100, scaling });
    expectClose(frequencies, [0.25, 0.025], { abs: 0, rel: 1e-15 });
  });

  it("leaves llama 3's short waves, divides its long ones, and goes over in between without a step", () => {
    const llama = {
      factor: 8,
      lowFrequencyFactor: 1,
      highFrequencyFactor: 4,
      originalContext: 8192,
    };
    const options = { rotarySize: 128, theta: 500_000 };
    const plain = ropeFrequencies(options);
    const scaled = ropeFrequencies({ ...options, scaling: { kind: "llama3", ...llama } });
    plain.forEach((frequency, i) => {
      const ratio = (scaled[i] as number) / frequency;
      const turns = (8192 * frequency) / (2 * Math.PI);
      if (turns > 4) expect(ratio).toBe(1);
      else if (turns < 1) expect(ratio).toBe(1 / 8);
      else expect(ratio).toBeCloseTo(1 / 8 + ((turns - 1) / 3) * (7 / 8), 12);
    });
    expect(new Set(plain.map((f, i) => (scaled[i] as number) / f)).size).toBeGreaterThan(4);
  });

  it("refuses sizes that are no pairs, and numbers that are not positive", () => {
    expect(codeOf(() => ropeFrequencies({ rotarySize: 3 }))).toBe("argument_invalid");
    expect(codeOf(() => ropeFrequencies({ rotarySize: 0 }))).toBe("argument_invalid");
    expect(codeOf(() => ropeFrequencies({ rotarySize: 4, theta: 0 }))).toBe("argument_invalid");
    const scaling = { kind: "linear", factor: -1 } as const;
    expect(codeOf(() => ropeFrequencies({ rotarySize: 4, scaling }))).toBe("argument_invalid");
  });
});

describe("packFrequencies", () => {
  it("keeps fractions of a turn to 2^-53, high words first", () => {
    const frequencies = ropeFrequencies({ rotarySize: 64, theta: 500_000 });
    const words = packFrequencies(frequencies);
    expect(words).toHaveLength(64);
    const turns = Float64Array.from(frequencies, (_, i) => {
      return (words[i] as number) / 2 ** 32 + (words[32 + i] as number) / 2 ** 64;
    });
    expectClose(
      turns,
      frequencies.map((f) => f / (2 * Math.PI)),
      { abs: 2 ** -53, rel: 0 },
    );
  });

  it("drops whole turns, and turns backwards by the rest of a turn", () => {
    const quarter = Math.PI / 2;
    const words = packFrequencies([quarter + 2 * Math.PI, -quarter]);
    expectClose(
      [...words.subarray(0, 2)].map((w) => w / 2 ** 32),
      [0.25, 0.75],
      { abs: 1e-9, rel: 0 },
    );
  });
});
