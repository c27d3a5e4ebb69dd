import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { byteTokenizer, type CausalLM, type Device, Tokenizer } from "../../../engine/index.ts";
import type { Generation, SampledToken } from "../../../src/rollout/request.ts";
import { Sampler, type SamplerOptions } from "../../../src/rollout/sampler.ts";
import { errorOf, rejectionOf } from "../../support/errors.ts";
import { loadGolden } from "../../support/golden-models.ts";
import { device } from "../../support/gpu.ts";
import { fullForward, integers, mismatch } from "../../support/sampling.ts";

let on: Device;
let model: CausalLM;
beforeAll(async () => {
  on = await device();
  model = await loadGolden(on, "llama3");
});

function open(more: Partial<SamplerOptions> = {}): Sampler {
  return new Sampler({ device: on, model, batch: 8, length: 64, ...more });
}

const samplers: Sampler[] = [];
afterAll(async () => {
  for (const sampler of samplers) await sampler.close();
});
function opened(more: Partial<SamplerOptions> = {}): Sampler {
  const sampler = open(more);
  samplers.push(sampler);
  return sampler;
}

const prompts = integers(3, 32, 18, 1).map((n, i) => integers(500 + i, n, 96, 3));
const request = (i: number) => ({
  prompt: prompts[i] as number[],
  maxTokens: 20,
  sampling: { seed: 1000 + i, temperature: 0.9, topP: i % 2 ? 0.9 : 1 },
});
const record = ({ ids, logprobs, entropies }: Generation) => ({ ids, logprobs, entropies });

describe("the same seed", () => {
  it("gives the same bits alone, in a batch of 32, in another order, and after a restart", async () => {
    const alone: object[] = [];
    const one = open({ batch: 1 });
    for (let i = 0; i < 32; i++) alone.push(record(await one.generate(request(i))));
    await one.close();
    const many = open({ batch: 32 });
    const batched = await Promise.all(prompts.map((_, i) => many.generate(request(i))));
    await many.close();
    expect(batched.map(record)).toEqual(alone);
    const restarted = open({ batch: 5, steps: 3 });
    const order = prompts.map((_, i) => (i * 11) % 32);
    const shuffled = await Promise.all(order.map((i) => restarted.generate(request(i))));
    await restarted.close();
    expect(shuffled.map(record)).toEqual(order.map((i) => alone[i]));
  });

  it("is the sampler's, with the number of the request, where none is given", async () => {
    const prompt = [5, 6];
    const run = async (seed: number): Promise<Generation[]> => {
      const sampler = opened({ seed });
      return Promise.all([1, 2].map(() => sampler.generate({ prompt, maxTokens: 12 })));
    };
    const [first, again, other] = [await run(1), await run(1), await run(40)];
    expect(again.map(record)).toEqual(first.map(record));
    expect(first[0]?.ids).not.toEqual(first[1]?.ids);
    expect(first.map((g) => g.seed)).toEqual([1n, 2n]);
    expect(other[0]?.ids).not.toEqual(first[0]?.ids);
  });
});

describe("the cache", () => {
  it("computes the prompt of a group once", async () => {
    const sampler = opened({ batch: 8 });
    const prompt = integers(1, 40, 96, 3);
    const group = await Promise.all(
      Array.from({ length: 8 }, (_, seed) =>
        sampler.generate({ prompt, maxTokens: 6, sampling: { seed } }),
      ),
    );
    expect(sampler.stats.prefilledTokens).toBe(40 + 7);
    expect(sampler.stats.reusedTokens).toBe(7 * 39);
    expect(new Set(group.map((g) => g.ids.join())).size).toBeGreaterThan(4);
    expect((await mismatch(on, model, group)).logprob).toBeLessThan(1e-5);
  });

  it("is keyed by tokens and by the version of the policy", async () => {
    const sampler = opened({ batch: 4 });
    const prompt = integers(2, 20, 96, 3);
    const ask = (ids = prompt) =>
      sampler.generate({ prompt: ids, maxTokens: 3, sampling: { seed: 1 } });
    expect((await ask()).reusedTokens).toBe(0);
    expect((await ask()).reusedTokens).toBe(19);
    expect((await ask([...prompt.slice(0, 9), 4, 4, 4])).reusedTokens).toBe(9);
    sampler.policyVersion = 1;
    const after = await ask();
    expect([after.reusedTokens, after.policyVersions]).toEqual([0, [1, 1]]);
    expect((await ask()).reusedTokens).toBe(19);
  });

  it("keeps the slots of sessions while there are others", async () => {
    const sampler = opened({ batch: 2, slots: 3 });
    using session = sampler.session();
    const turn = session.generate({ append: [5, 6, 7, 8, 9], maxTokens: 5 });
    expect(await rejectionOf(session.generate({ append: [4] }))).toBe("state_conflict");
    await turn;
    for (let i = 0; i < 6; i++) await sampler.generate({ prompt: [20 + i, 30, 31], maxTokens: 3 });
    const next = await session.generate({ append: [4], maxTokens: 5 });
    expect(next.reusedTokens).toBe(5 + 4);
    expect(session.ids).toHaveLength(5 + 5 + 1 + 5);
  });

  it("holds prompts that take several calls", async () => {
    const long = opened({ batch: 4 });
    const wide = await Promise.all(
      Array.from({ length: 12 }, (_, i) =>
        long.generate({ prompt: integers(60 + i, 60, 96, 3), maxTokens: 4 }),
      ),
    );
    expect((await mismatch(on, model, wide)).logprob).toBeLessThan(1e-5);
  });
});

describe("a large batch", () => {
  it("begins more texts at once than one call can finish prompts of", async () => {
    const sampler = opened({ batch: 40, length: 16 });
    const many = await Promise.all(
      Array.from({ length: 40 }, (_, i) =>
        sampler.generate({ prompt: [3 + i, 50 + (i % 7)], maxTokens: 3 }),
      ),
    );
    expect(many.map((g) => g.ids.length)).toEqual(Array.from({ length: 40 }, () => 3));
    expect((await mismatch(on, model, many)).logprob).toBeLessThan(1e-5);
  });
});

describe("a text ends", () => {
  it("at stop tokens, more of them than the GPU looks at, and keeps the last", async () => {
    const sampler = opened();
    const free = await sampler.generate({ prompt: [9, 8], maxTokens: 30, sampling: { seed: 3 } });
    const at = free.ids.findIndex((id, i) => i > 5 && free.ids.indexOf(id) === i);
    const stop = free.ids[at] as number;
    const others = Array.from({ length: 96 }, (_, id) => id).filter((id) => !free.ids.includes(id));
    for (const stopIds of [[stop], [...others.slice(0, 9), stop]]) {
      const cut = await sampler.generate({
        prompt: [9, 8],
        maxTokens: 30,
        sampling: { seed: 3 },
        stopIds,
      });
      expect([cut.finishReason, cut.ids]).toEqual(["stop", free.ids.slice(0, at + 1)]);
    }
    expect(free.finishReason).toBe("length");
  });

  it("where its model has no further position, while others go on", async () => {
    const gpt2 = await loadGolden(on, "gpt2");
    const { maxLength } = gpt2;
    const sampler = opened({ model: gpt2, batch: 3, length: maxLength });
    const prompt = integers(7, maxLength + 1, gpt2.options.vocab, 3);
    const asked = [
      { prompt: prompt.slice(3), maxTokens: 3 },
      { prompt: prompt.slice(0, 20), maxTokens: 1 },
      { prompt: prompt.slice(40), maxTokens: 30 },
      // these go on where the first two have ended: what was fed to them meanwhile is not in their caches
      { prompt: prompt.slice(3).concat(5), maxTokens: 2 },
      { prompt: prompt.slice(0, 40), maxTokens: 4 },
    ].map((each, seed) => ({ ...each, sampling: { seed } }));
    const together = [
      ...(await Promise.all(asked.slice(0, 3).map((each) => sampler.generate(each)))),
      ...(await Promise.all(asked.slice(3).map((each) => sampler.generate(each)))),
    ];
    expect(together.map((g) => g.reusedTokens)).toEqual([0, 0, 0, maxLength - 2, 20]);
    const alone: Generation[] = [];
    for (const each of asked) alone.push(await opened({ model: gpt2 }).generate(each));
    expect(together.map(record)).toEqual(alone.map(record));
  });

  it("when it repeats itself with confidence", async () => {
    const sampler = opened();
    const ask = (probability: number) =>
      sampler.generate({
        prompt: [9],
        maxTokens: 30,
        sampling: { temperature: 0 },
        repetition: { count: 4, probability },
      });
    expect(await ask(0)).toMatchObject({ finishReason: "repetition", ids: { length: 4 } });
    const free = await sampler.generate({
      prompt: [9],
      maxTokens: 30,
      sampling: { temperature: 0 },
    });
    const most = Math.exp(Math.max(...free.logprobs));
    expect((await ask(most)).finishReason).toBe("length");
  });

  it("when it is told to, with what came so far; and the others go on", async () => {
    const sampler = opened({ batch: 2, steps: 2 });
    const stop = new AbortController();
    const seen: SampledToken[] = [];
    const onToken = (token: SampledToken): void => {
      seen.push(token);
      if (seen.length === 5) stop.abort();
    };
    const queued = new AbortController();
    const all = Promise.all([
      sampler.generate({ prompt: [9], maxTokens: 50, signal: stop.signal, onToken }),
      sampler.generate({ prompt: [10], maxTokens: 30 }),
      sampler.generate({ prompt: [11], maxTokens: 30, signal: queued.signal }),
      sampler.generate({ prompt: [12], maxTokens: 30, signal: AbortSignal.abort() }),
    ]);
    queued.abort();
    const [cut, whole, never, late] = await all;
    expect(cut.finishReason).toBe("cancelled");
    expect(cut.ids.length).toBeGreaterThanOrEqual(5);
    expect(cut.ids.length).toBeLessThan(12);
    expect(seen.map((t) => t.id)).toEqual(cut.ids);
    expect(whole.ids).toHaveLength(30);
    expect([never.finishReason, never.ids]).toEqual(["cancelled", []]);
    expect([late.finishReason, late.ids]).toEqual(["cancelled", []]);
  });

  it("when its callback throws, and only that one", async () => {
    const sampler = opened();
    const [bad, good] = await Promise.allSettled([
      sampler.generate({
        prompt: [9],
        maxTokens: 20,
        onToken: () => {
          throw new Error("mine");
        },
      }),
      sampler.generate({ prompt: [9], maxTokens: 20 }),
    ]);
    expect(bad).toMatchObject({ status: "rejected", reason: { message: "mine" } });
    expect(good.status).toBe("fulfilled");
    expect(sampler.stats).toMatchObject({ active: 0, queued: 0 });
  });

  it("when the sampler is closed", async () => {
    const sampler = open();
    const running = sampler.generate({ prompt: [9], maxTokens: 50 });
    await new Promise((resolve) => setTimeout(resolve, 30));
    await sampler.close();
    expect((await running).finishReason).toMatch(/cancelled|length/);
    expect(await rejectionOf(sampler.generate({ prompt: [9] }))).toBe("sampler_closed");
  });
});

describe("the adapter", () => {
  it("is asked for no memory once all plans have run", async () => {
    const sampler = opened({ batch: 4 });
    const ask = (seed: number) =>
      Promise.all(
        [1, 2, 3, 4].map((i) =>
          sampler.generate({ prompt: [i, 5, seed], maxTokens: 60, sampling: { seed } }),
        ),
      );
    await ask(1);
    const [live, peak] = [on.liveBytes, on.peakBytes];
    const make = on.gpu.createBuffer.bind(on.gpu);
    let made = 0;
    on.gpu.createBuffer = (descriptor) => {
      made++;
      return make(descriptor);
    };
    try {
      for (let i = 2; i < 6; i++) await ask(i);
    } finally {
      on.gpu.createBuffer = make;
    }
    expect([on.liveBytes, on.peakBytes, made]).toEqual([live, peak, 0]);
  });

  it("finds weights that are no numbers; what follows is sound", async () => {
    const broken = await loadGolden(on, "llama3");
    const sampler = new Sampler({ device: on, model: broken, batch: 2, length: 64 });
    const ask = (more = {}) =>
      Promise.allSettled(
        [1, 2, 3].map((id) => sampler.generate({ prompt: [id], maxTokens: 9, ...more })),
      );
    const { weight } = broken.transformer.norm;
    const good = Float32Array.from(await weight.read());
    const bad = good.slice();
    bad[3] = Number.NaN;
    weight.write(on, bad);
    const lost = await ask();
    expect(lost.map((r) => r.status === "rejected" && r.reason.code)).toEqual(
      Array.from({ length: 3 }, () => "non_finite"),
    );
    weight.write(on, good);
    // with alternatives a readback brings fewer tokens than the one that failed has left behind
    const found = await ask({ alternatives: 1 });
    const done = found.flatMap((r) => (r.status === "fulfilled" ? [r.value] : []));
    expect(done.map((g) => g.ids.length)).toEqual([9, 9, 9]);
    expect((await mismatch(on, broken, done)).logprob).toBeLessThan(1e-5);
    await sampler.close();
  });
});

describe("text", () => {
  const tokenizer = Tokenizer.from({ tokenizer: byteTokenizer({ specialTokens: [] }) });

  it("is that of the ids, and ends before a stop string", async () => {
    const { createModel } = await import("../../../engine/index.ts");
    const bytes = createModel({
      vocab: 256,
      layers: 1,
      width: 16,
      heads: 2,
      mlpWidth: 32,
      maxDepth: 64,
      initStd: 0.5,
      seed: 3,
    });
    const sampler = new Sampler({ device: on, model: bytes, tokenizer, batch: 2, length: 64 });
    const pieces: string[] = [];
    const free = await sampler.generate({
      prompt: tokenizer.encode("Héllo"),
      maxTokens: 40,
      onToken: ({ text }) => pieces.push(text),
    });
    expect(free.text).toBe(tokenizer.decode(free.ids));
    expect(pieces.join("")).toBe(free.text);
    const at = Array.from(free.text).findIndex((c, i) => i > 8 && c !== "\ufffd");
    const stop = Array.from(free.text)[at] as string;
    const seed = free.seed;
    const cut = await sampler.generate({
      prompt: tokenizer.encode("Héllo"),
      maxTokens: 40,
      sampling: { seed },
      stopStrings: ["never", stop],
    });
    expect([cut.finishReason, cut.stop]).toEqual(["stop_string", stop]);
    expect(cut.text).toBe(free.text.slice(0, free.text.indexOf(stop)));
    expect(cut.ids).toEqual(free.ids.slice(0, cut.ids.length));
    await sampler.close();
  });
});

describe("alternatives", () => {
  it("are the most probable tokens with their log-probs", async () => {
    const sampler = opened({ batch: 2 });
    const [asked, other] = await Promise.all([
      sampler.generate({
        prompt: [7, 8, 9],
        maxTokens: 5,
        alternatives: 4,
        sampling: { temperature: 0.8, seed: 1 },
      }),
      sampler.generate({ prompt: [7, 9], maxTokens: 5, sampling: { seed: 2 } }),
    ]);
    expect(other.alternatives).toEqual([]);
    expect(asked.alternatives.map((a) => a.length)).toEqual([4, 4, 4, 4, 4]);
    for (const [t, some] of asked.alternatives.entries()) {
      const before = [...asked.promptIds, ...asked.ids.slice(0, t)];
      const forward = await fullForward(
        on,
        model,
        some.map(({ id }) => ({ ids: [...before, id], temperature: 0.8 })),
      );
      some.forEach(({ logprob }, i) => {
        expect(Math.abs(logprob - (forward[i]?.logprobs.at(-1) as number))).toBeLessThan(1e-5);
      });
      expect(some.map((a) => a.logprob)).toEqual(
        [...some.map((a) => a.logprob)].sort((a, b) => b - a),
      );
    }
  });
});

describe("what cannot be done is refused", () => {
  it.each([
    ["context_exceeded", { prompt: integers(1, 60, 96), maxTokens: 6 }, /60 tokens of prompt \+ 6/],
    ["context_exceeded", { prompt: integers(1, 65, 96) }, /65 tokens of prompt/],
    ["index_out_of_range", { prompt: [1, 96] }, /96 at 1/],
    ["argument_invalid", { prompt: [] }, /prompt/],
    ["argument_invalid", { prompt: [1], maxTokens: 0 }, /maxTokens/],
    ["argument_invalid", { prompt: [1], sampling: { topP: 0 } }, /topP/],
    ["argument_invalid", { prompt: [1], stopStrings: ["x"] }, /tokenizer/],
    ["argument_invalid", { prompt: [1], alternatives: 21 }, /alternatives/],
  ] as const)("%s", async (code, bad, message) => {
    const sampler = samplers[0] ?? opened();
    const error = await errorOf(sampler.generate(bad));
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
  });

  it("as is what does not fit the queue", async () => {
    const sampler = opened({ batch: 1, maxQueue: 2 });
    const all = await Promise.allSettled(
      [1, 2, 3].map((id) => sampler.generate({ prompt: [id], maxTokens: 2 })),
    );
    expect(all.map((r) => r.status)).toEqual(["fulfilled", "fulfilled", "rejected"]);
    expect(all[2]).toMatchObject({ reason: { code: "queue_full" } });
  });

  it("as are sizes that do not fit", () => {
    expect(() => open({ slots: 2 })).toThrow(/a slot for each/);
    expect(() => open({ length: 65 })).toThrow(/made for 64/);
  });
});
