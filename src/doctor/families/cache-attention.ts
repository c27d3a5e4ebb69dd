/** Attention over a cache: a prompt, a copy of it to another slot, and tokens decoded there. */
import {
  cacheAttention,
  compile,
  copyCacheSlots,
  type Device,
  State,
  type Tensor,
  tensor,
} from "../../../engine/index.ts";
import { generator, uniform } from "../../bench/numbers.ts";
import { scalars } from "../scalar.ts";
import type { SelfTest } from "../self-test.ts";
import { attended, type Heads } from "./attention.ts";

/** More rows than slots, so that they share a workgroup; then one row a call. */
const PROMPT = 21;
const DECODED = 3;
const SLOTS = 2;
const FROM = 1;
const TO = 0;

/** The tests. */
export function cacheAttentionTests(): SelfTest[] {
  const heads = { tokens: PROMPT + DECODED, heads: 4, kvHeads: 2, headDim: 8 };
  return [
    cacheTest("two key heads, size 8", heads, 64),
    cacheTest("positions in several spans", { ...heads, heads: 1, kvHeads: 1 }, 1100),
  ];
}

function cacheTest(name: string, heads: Heads, positions: number): SelfTest {
  const { tokens, kvHeads, headDim } = heads;
  const columns = heads.heads + 2 * kvHeads;
  const qkv = uniform(tokens * columns * headDim, generator(3), -1, 1);
  return {
    family: "cache attention",
    name,
    tolerance: 5e-6,
    actual: async (device) => [
      { name: "result", values: await decoded(device, heads, positions, qkv) },
    ],
    expected: () => {
      const all = scalars(qkv);
      const column = (first: number) => (t: number, h: number) =>
        all.slice((t * columns + first + h) * headDim, (t * columns + first + h + 1) * headDim);
      const at = { q: column(0), k: column(heads.heads), v: column(heads.heads + kvHeads) };
      const chain = Int32Array.from({ length: tokens }, (_, t) => t - 1);
      return [{ name: "result", values: attended(heads, chain, {}, at).map((x) => x.value) }];
    },
  };
}

/** Results of all tokens: the prompt's in one slot, the others' in its copy. */
async function decoded(
  device: Device,
  heads: Heads,
  positions: number,
  qkv: Float32Array<ArrayBuffer>,
): Promise<number[]> {
  const { tokens, kvHeads, headDim } = heads;
  const width = (heads.heads + 2 * kvHeads) * headDim;
  using cache = new State([SLOTS, positions, 2 * kvHeads * headDim], "f32", 0, "cache");
  const options = { device, label: "self-test cache attention" };
  using attend = compile(
    (rows: Tensor, slots: Tensor, places: Tensor) =>
      cacheAttention(rows, cache, { slots, positions: places }, heads),
    options,
  );
  using copy = compile((from: Tensor, to: Tensor, lengths: Tensor) => {
    copyCacheSlots(cache, from, to, lengths);
    return {};
  }, options);
  const word = (value: number): Tensor => tensor(Uint32Array.of(value));
  const results: number[] = [];
  const run = async (slot: number, first: number, end: number): Promise<void> => {
    const places = Uint32Array.from({ length: end - first }, (_, i) => first + i);
    const rows = tensor(qkv.slice(first * width, end * width), [end - first, width]);
    const out = await attend(rows, tensor(places.map(() => slot)), tensor(places));
    results.push(...(await out.read()));
  };
  await run(FROM, 0, PROMPT);
  await copy(word(FROM), word(TO), word(PROMPT));
  for (let t = PROMPT; t < tokens; t++) await run(TO, t, t + 1);
  return results;
}
