import { beforeAll, describe, expect, it } from "vitest";
import { type CausalLM, createModel, type Device, namedParameters } from "../../../engine/index.ts";
import { Sampler } from "../../../src/rollout/sampler.ts";
import { Scorer, type SequenceScore } from "../../../src/rollout/scorer.ts";
import { chainForest } from "../../reference/attention.ts";
import { type DecoderShape, decoderLogProbs } from "../../reference/transformer.ts";
import { rejectionOf } from "../../support/errors.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";
import { TOLERANCES } from "../../support/tolerances.ts";

const SHAPE = {
  vocab: 40,
  layers: 2,
  width: 24,
  heads: 4,
  kvHeads: 2,
  headDim: 8,
  mlpWidth: 36,
  mlp: "swiglu",
  norm: "rms",
  position: "rope",
} as const satisfies DecoderShape;

const LENGTHS = [5, 1, 2, 19, 7, 40, 3];
const random = randoms(4);
const SEQUENCES = LENGTHS.map((length) => [...random.integers(length, 0, SHAPE.vocab)]);

let shared: Device;
let model: CausalLM;
let weights: Map<string, Float32Array>;
let scorer: Scorer;

beforeAll(async () => {
  shared = await device();
  model = createModel({ ...SHAPE, maxDepth: 64, initStd: 0.3, seed: 8 });
  weights = new Map();
  for (const [name, state] of namedParameters(model.transformer))
    weights.set(name, (await state.read()) as Float32Array);
  scorer = new Scorer({ device: shared, model });
  return () => {
    scorer[Symbol.dispose]();
    model[Symbol.dispose]();
  };
});

/** Log-probs of all tokens but the first, from the f64 model. */
function oracle(ids: readonly number[]): number[] {
  const tokens = Uint32Array.from(ids);
  const labels = Uint32Array.from([...ids.slice(1), 0]);
  const batch = { ...chainForest([ids.length]), tokens, labels };
  return [...decoderLogProbs(weights, SHAPE, batch)].slice(0, -1);
}

const flat = (scores: readonly SequenceScore[]): number[] => scores.flatMap((s) => s.logprobs);

describe("Scorer", () => {
  it("gives the log-probs of the f64 model, of several sequences at once", async () => {
    const scores = await scorer.score(SEQUENCES.map((ids) => ({ ids })));
    expect(scores.map((s) => s.logprobs.length)).toEqual(LENGTHS.map((length) => length - 1));
    expectClose(flat(scores), SEQUENCES.flatMap(oracle), TOLERANCES.logProb);
  });

  it("gives the same whatever a call is padded to, and shares with what", async () => {
    const together = await scorer.score(SEQUENCES.map((ids) => ({ ids })));
    const alone: SequenceScore[] = [];
    for (const ids of SEQUENCES) alone.push(...(await scorer.score([{ ids }])));
    using tight = new Scorer({ device: shared, model, maxTokens: 8 });
    const inParts = await tight.score(SEQUENCES.map((ids) => ({ ids })));
    for (const others of [alone, inParts]) {
      expectClose(flat(others), flat(together), TOLERANCES.logProb, "log-probs");
      const entropies = [others, together].map((all) => all.flatMap((s) => s.entropies));
      expectClose(...(entropies as [number[], number[]]), TOLERANCES.logProb, "entropies");
    }
    // calls of one size: to the bit
    const [longest, short] = [SEQUENCES[5] as number[], SEQUENCES[0] as number[]];
    const [beside] = await scorer.score([longest, short].map((ids) => ({ ids })));
    expect(beside).toEqual(alone[5]);
  });

  it("scores from the token on that it is told", async () => {
    const [whole, tail, none] = await scorer.score(
      [undefined, 12, 19].map((from) => ({
        ids: SEQUENCES[3] as number[],
        ...(from && { from }),
      })),
    );
    expect(tail?.logprobs).toHaveLength(7);
    expectClose(tail?.logprobs ?? [], whole?.logprobs.slice(11) ?? [], TOLERANCES.logProb);
    expect(none).toEqual({ logprobs: [], entropies: [], alternatives: [] });
  });

  it("gives the most probable tokens of the distribution that it scores under", async () => {
    const temperature = 0.7;
    const ids = SEQUENCES[3] as number[];
    const [score] = await scorer.score([{ ids }], { temperature, alternatives: SHAPE.vocab });
    const { logprobs, entropies, alternatives } = score as SequenceScore;
    expect(alternatives).toHaveLength(18);
    alternatives.forEach((all, t) => {
      const values = all.map((a) => a.logprob);
      expect(values).toEqual([...values].sort((a, b) => b - a));
      expect(all.map((a) => a.id).sort((a, b) => a - b)).toEqual([...Array(40).keys()]);
      const taken = all.find((a) => a.id === ids[t + 1])?.logprob ?? Number.NaN;
      expect(Math.abs(taken - (logprobs[t] as number))).toBeLessThan(1e-5);
      const entropy = -values.reduce((sum, value) => sum + Math.exp(value) * value, 0);
      expect(Math.abs(entropy - (entropies[t] as number))).toBeLessThan(1e-5);
      expect(Math.abs(values.reduce((sum, value) => sum + Math.exp(value), 0) - 1)).toBeLessThan(
        1e-5,
      );
    });
    const [untempered] = await scorer.score([{ ids }]);
    expect(untempered?.logprobs[0]).not.toBeCloseTo(logprobs[0] as number, 2);
  });

  it("finds the most probable tokens of a vocabulary whose logits are held in parts", async () => {
    const sizes = { vocab: 300_000, layers: 1, width: 8, heads: 1, mlpWidth: 8, maxDepth: 64 };
    using large = createModel({ ...sizes, initStd: 0.5, seed: 2 });
    using own = new Scorer({ device: shared, model: large });
    const ids = [...randoms(3).integers(15, 0, sizes.vocab)];
    const [score] = await own.score([{ ids }], { alternatives: 2 });
    // what is most probable at the last place is so when it stands there too
    const best = score?.alternatives.map(([first]) => first) ?? [];
    const tails = best.map((first, t) => ({
      ids: [...ids.slice(0, t + 1), first?.id ?? 0],
      from: t + 1,
    }));
    const checked = await own.score(tails);
    expectClose(
      flat(checked),
      best.map((first) => first?.logprob ?? Number.NaN),
      TOLERANCES.logProb,
    );
    expect(score?.alternatives.every(([a, b]) => (a?.logprob ?? 0) >= (b?.logprob ?? 0))).toBe(
      true,
    );
  });

  it("gives what the sampler gave for what it sampled", async () => {
    const sampler = new Sampler({ device: shared, model, batch: 3, length: 32, stopIds: [] });
    const requests = [0.6, 1, 1.4].map((temperature, seed) => ({
      prompt: (SEQUENCES[seed + 2] as number[]).slice(0, 7),
      maxTokens: 20,
      sampling: { temperature, seed },
    }));
    const generations = await Promise.all(requests.map((r) => sampler.generate(r)));
    await sampler.close();
    for (const [i, { promptIds, ids, logprobs, entropies }] of generations.entries()) {
      const { temperature } = requests[i]?.sampling ?? { temperature: 1 };
      const sequence = { ids: [...promptIds, ...ids], from: promptIds.length };
      const [score] = await scorer.score([sequence], { temperature });
      expectClose(score?.logprobs ?? [], logprobs, TOLERANCES.logProb, "log-probs");
      expectClose(score?.entropies ?? [], entropies, TOLERANCES.logProb, "entropies");
    }
  });

  it("answers calls that are made at once, each with its own", async () => {
    const temperatures = [0.5, 0.8, 1, 1.3, 2, 3];
    const ids = SEQUENCES[5] as number[];
    const all = await Promise.all(
      temperatures.map((temperature) => scorer.score([{ ids }], { temperature })),
    );
    for (const [i, temperature] of temperatures.entries())
      expect(await scorer.score([{ ids }], { temperature })).toEqual(all[i]);
    const means = all.map(([s]) => (s?.entropies.reduce((a, b) => a + b) ?? 0) / 39);
    expect(means).toEqual([...means].sort((a, b) => a - b));
  });

  it("refuses what it cannot score", async () => {
    expect(() => new Scorer({ device: shared, model, maxTokens: 0 })).toThrow("argument_invalid");
    const code = (
      sequence: { ids: number[]; from?: number },
      options: { temperature?: number; alternatives?: number } = {},
    ): Promise<string> => rejectionOf(scorer.score([{ ids: [1, 2] }, sequence], options));
    expect(await code({ ids: [] })).toBe("argument_invalid");
    expect(await code({ ids: [1, 2], from: 0 })).toBe("argument_invalid");
    expect(await code({ ids: [1, 2], from: 3 })).toBe("argument_invalid");
    expect(await code({ ids: [1, 40] })).toBe("index_out_of_range");
    expect(await code({ ids: [1.5, 4] })).toBe("index_out_of_range");
    expect(await code({ ids: [-1, 4] })).toBe("index_out_of_range");
    expect(await code({ ids: new Array<number>(65).fill(1) })).toBe("context_exceeded");
    expect(await code({ ids: [1, 2] }, { temperature: -1 })).toBe("argument_invalid");
    expect(await code({ ids: [1, 2] }, { alternatives: 41 })).toBe("argument_invalid");
    expect(await scorer.score([])).toEqual([]);
  });
});
