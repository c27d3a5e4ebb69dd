/** Random numbers: known answers of Philox4x32-10, and the distributions made of its words. */
import { Generator } from "../../../engine/index.ts";
import type { SelfTest, Values } from "../self-test.ts";

const COUNT = 1002;
const SEED = 2 ** 40 + 12_345;

/** The tests. */
export function randomTests(): SelfTest[] {
  return [
    {
      family: "random numbers",
      name: "known answers (Random123: counter 0, key 0)",
      tolerance: 1e-12,
      actual: async () => [{ name: "bits", values: await new Generator(0).bits([4]).read() }],
      expected: () => [{ name: "bits", values: [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8] }],
    },
    {
      family: "random numbers",
      name: "bits",
      tolerance: 1e-12,
      actual: async () => [
        { name: "bits", values: await new Generator(SEED).bits([COUNT]).read() },
      ],
      expected: () => [{ name: "bits", values: words(0) }],
    },
    {
      family: "random numbers",
      name: "uniform, normal, Gumbel",
      // WGSL allows cos an error of 2⁻¹¹
      tolerance: 1e-3,
      actual: async (): Promise<Values[]> => {
        const random = new Generator(SEED);
        const draws = { uniform: "uniform", normal: "normal", gumbel: "gumbel" } as const;
        const values: Values[] = [];
        for (const name of Object.values(draws)) {
          values.push({ name, values: await random[name]([COUNT]).read() });
        }
        return values;
      },
      expected: () => [
        { name: "uniform", values: words(0).map(uniform) },
        { name: "normal", values: words(1).map(normal) },
        { name: "gumbel", values: words(2).map(gumbel) },
      ],
    },
  ];
}

/** The first words of a stream: number i is word i mod 4 of the counter (i / 4, 0, stream, 0). */
function words(stream: number): number[] {
  const key = [SEED % 2 ** 32, Math.floor(SEED / 2 ** 32)];
  const blocks = Array.from({ length: Math.ceil(COUNT / 4) }, (_, i) =>
    philox([i, 0, stream, 0], key),
  );
  return blocks.flat().slice(0, COUNT);
}

/** Four random words of a counter: Salmon et al. 2011, doi:10.1145/2063384.2063405, §3.3. */
export function philox(counter: readonly number[], key: readonly number[]): number[] {
  let [x = 0n, y = 0n, z = 0n, w = 0n] = counter.map(BigInt);
  let [k0 = 0n, k1 = 0n] = key.map(BigInt);
  const low = (n: bigint): bigint => BigInt.asUintN(32, n);
  for (let round = 0; round < 10; round++) {
    const [a, b] = [0xd2511f53n * x, 0xcd9e8d57n * z];
    [x, y, z, w] = [(b >> 32n) ^ y ^ k0, low(b), (a >> 32n) ^ w ^ k1, low(a)];
    [k0, k1] = [low(k0 + 0x9e3779b9n), low(k1 + 0xbb67ae85n)];
  }
  return [x, y, z, w].map(Number);
}

/** [0, 1) from the upper 24 bits. */
function uniform(word: number): number {
  return Math.floor(word / 256) / 2 ** 24;
}

/** (0, 1), as f32 holds it. */
function openUnit(word: number): number {
  const fine = ((word % 256) + 0.5) / 2 ** 32;
  return Math.min(Math.fround(uniform(word) + fine), 1 - 2 ** -24);
}

/** Standard Gumbel. */
export function gumbel(word: number): number {
  return -Math.log(-Math.log1p(-openUnit(word)));
}

/** Box & Muller 1958: words 2i and 2i + 1 make numbers 2i and 2i + 1. */
function normal(_word: number, i: number, all: readonly number[]): number {
  const radius = Math.sqrt(-2 * Math.log(openUnit(all[i - (i % 2)] ?? 0)));
  const angle = 2 * Math.PI * uniform(all[i - (i % 2) + 1] ?? 0);
  return radius * (i % 2 === 0 ? Math.cos(angle) : Math.sin(angle));
}
