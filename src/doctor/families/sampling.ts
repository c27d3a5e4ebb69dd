/** Tokens drawn from logits, and the books of the slots that they are drawn for. */
import {
  advance,
  compile,
  type SamplingOptions,
  State,
  sample,
  samplingWords,
  tensor,
} from "../../../engine/index.ts";
import { generator, uniform } from "../../bench/numbers.ts";
import type { SelfTest } from "../self-test.ts";
import { gumbel, philox } from "./random.ts";

/** A lane takes the short rows alone on CPU drivers; lanes share the long ones. */
const SIZES = [301, 5000] as const;
const STEPS = 3;
const SEED = 2 ** 40 + 12_345;

/** One row each. */
const SETTINGS: readonly SamplingOptions[] = [
  { temperature: 0 },
  { temperature: 1 },
  { temperature: 0.5 },
  { topK: 7 },
  { topP: 0.75 },
  { minP: 0.125 },
  { temperature: 1.5, topK: 40, topP: 0.875, minP: 0.0625 },
];

/** The tests. */
export function samplingTests(): SelfTest[] {
  return SIZES.map(drawTest);
}

function drawTest(cols: number): SelfTest {
  const rows = SETTINGS.length;
  const logits = uniform(rows * cols, generator(cols), -8, 8);
  return {
    family: "sampling",
    name: `${STEPS} tokens by each setting, rows of ${cols}`,
    tolerance: 2e-6,
    actual: async (device) => {
      const words = SETTINGS.flatMap((s) => [...samplingWords({ ...s, seed: SEED })]);
      const zeros = (width: readonly number[], name: string): State =>
        new State([rows, ...width], "u32", 0, name);
      const states = {
        tokens: zeros([], "tokens"),
        positions: zeros([], "positions"),
        progress: new State([rows, 2], "u32", STEPS, "progress"),
        stops: new State([rows, 8], "u32", 0xffff_ffff, "stops"),
        log: zeros([STEPS, 4], "log"),
      };
      const slots = tensor(Uint32Array.from(SETTINGS, (_, i) => i));
      const settings = tensor(Uint32Array.from(words), [rows, 8]);
      const step = compile(
        () => {
          const drawn = sample(tensor(logits, [rows, cols]), {
            slots,
            settings,
            positions: states.positions,
          });
          advance(drawn, slots, states);
          return drawn.logSumExp;
        },
        { device, label: "self-test sampling" },
      );
      for (let i = 1; i < STEPS; i++) await step();
      const lse = await (await step()).read();
      const log = (await states.log.read()) as Uint32Array<ArrayBuffer>;
      const floats = new Float32Array(log.buffer, log.byteOffset, log.length);
      const column = (of: ArrayLike<number>, c: number): number[] =>
        Array.from({ length: rows * STEPS }, (_, i) => Number(of[4 * i + c]));
      step[Symbol.dispose]();
      for (const state of Object.values(states)) state[Symbol.dispose]();
      return [
        { name: "token", values: column(log, 0) },
        { name: "logprob", values: column(floats, 1) },
        { name: "entropy", values: column(floats, 2) },
        { name: "lse", values: lse },
      ];
    },
    expected: () => {
      const draws = SETTINGS.map((options, r) => {
        const row = [...logits.subarray(r * cols, (r + 1) * cols)];
        return Array.from({ length: STEPS }, (_, position) => draw(row, options, position));
      });
      const all = draws.flat();
      return [
        { name: "token", values: all.map((d) => d.token) },
        { name: "logprob", values: all.map((d) => d.logprob) },
        { name: "entropy", values: all.map((d) => d.entropy) },
        { name: "lse", values: draws.map(([first]) => first?.lse ?? 0) },
      ];
    },
  };
}

interface Draw {
  readonly token: number;
  readonly logprob: number;
  readonly entropy: number;
  readonly lse: number;
}

/** Argmax of tempered logits and Gumbel noise over what top-k, top-p and min-p keep, one after the other. */
function draw(logits: readonly number[], options: SamplingOptions, position: number): Draw {
  const { temperature = 1, topK = 0, topP = 1, minP = 0 } = options;
  const scores = logits.map((l) => l / (temperature || 1));
  const lse = Math.log(scores.reduce((sum, s) => sum + Math.exp(s), 0));
  const chances = scores.map((s) => Math.exp(s - lse));
  let kept = [...scores.keys()].sort((a, b) => Number(scores[b]) - Number(scores[a]));
  if (temperature === 0) kept = kept.slice(0, 1);
  if (topK > 0) kept = kept.slice(0, topK);
  const mass = kept.reduce((sum, i) => sum + Number(chances[i]), 0);
  let larger = 0;
  kept = kept.filter((i) => {
    const isKept = larger < topP * mass;
    larger += Number(chances[i]);
    return isKept;
  });
  kept = kept.filter((i) => Number(chances[i]) >= minP * Number(chances[kept[0] ?? 0]));
  const key = [SEED % 2 ** 32, Math.floor(SEED / 2 ** 32)];
  const judged = kept.map((i) => {
    const words = philox([Math.floor(i / 4), position + 1, 0, 0], key);
    return Number(scores[i]) + gumbel(Number(words[i % 4]));
  });
  const token = Number(kept[judged.indexOf(Math.max(...judged))]);
  const entropy = lse - scores.reduce((sum, s, i) => sum + s * Number(chances[i]), 0);
  return { token, logprob: Number(scores[token]) - lse, entropy, lse };
}
