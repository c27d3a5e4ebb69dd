/** Attention, forward alone and with its gradients: the forests that are measured, and our contender. */
import { attention, compile, type Device, grad, parameter, tensor } from "../../engine/index.ts";
import { type AttentionSpec, checkAttention } from "./attention-check.ts";
import { type Contender, contender } from "./measure.ts";
import { generator, uniform } from "./numbers.ts";

/** `8×128, 4 heads of 32, forward`. */
export function attentionName(spec: AttentionSpec): string {
  const { chains, length, heads, kvHeads, headDim, part } = spec;
  const grouped = kvHeads === heads ? `${heads}` : `${heads}:${kvHeads}`;
  return `${chains}×${length}, ${grouped} heads of ${headDim}, ${part}`;
}

/** Pairs of a query and a key that it sees. */
function pairs({ chains, length }: AttentionSpec): number {
  return (chains * length * (length + 1)) / 2;
}

/**
 * Floating-point operations as FlashAttention counts them: two products forward and five backward, of visible pairs only.
 *
 * Source    Dao 2023, arXiv:2307.08691, §4.1 (there a causal mask counts as one half)
 */
export function attentionFlops(spec: AttentionSpec): number {
  const { heads, headDim, part } = spec;
  return 2 * pairs(spec) * heads * headDim * (part === "forward" ? 2 : 7);
}

/** What is measured on a device. */
export function attentionSpecs(device: Device): AttentionSpec[] {
  const decoder = { chains: 8, length: 128, heads: 4, kvHeads: 4, headDim: 32 };
  const chain = { ...decoder, chains: 1, length: 1024 };
  const grouped = { chains: 1, length: 1024, heads: 8, kvHeads: 2, headDim: 64 };
  const large = { chains: 1, length: 8192, heads: 32, kvHeads: 8, headDim: 128 };
  const shapes = device.isSoftware ? [decoder, chain, grouped] : [decoder, chain, grouped, large];
  return shapes.flatMap((shape) => [
    { ...shape, part: "forward" as const },
    { ...shape, part: "training" as const },
  ]);
}

/** Our attention as a contender, checked in f64. */
export async function attentionContender(device: Device, spec: AttentionSpec): Promise<Contender> {
  const { chains, length, heads, kvHeads, headDim, part } = spec;
  const tokens = chains * length;
  const next = generator(5);
  const host = {
    q: uniform(tokens * heads * headDim, next, -1, 1),
    k: uniform(tokens * kvHeads * headDim, next, -1, 1),
    v: uniform(tokens * kvHeads * headDim, next, -1, 1),
    dout: uniform(tokens * heads * headDim, next, -1, 1),
  };
  const q = parameter([tokens, heads, headDim], host.q, "q");
  const k = parameter([tokens, kvHeads, headDim], host.k, "k");
  const v = parameter([tokens, kvHeads, headDim], host.v, "v");
  const dout = parameter([tokens, heads, headDim], host.dout, "dout");
  const ends = (_: unknown, t: number): number => (Math.floor(t / length) + 1) * length;
  const end = tensor(Uint32Array.from({ length: tokens }, ends));
  const depth = tensor(Uint32Array.from({ length: tokens }, (_, t) => t % length));
  const run = compile(
    () => {
      const out = attention(q, k, v, { end, depth });
      return { out, gradients: part === "forward" ? [] : grad(out, [q, k, v], { seed: dout }) };
    },
    { device, label: `attention ${attentionName(spec)}` },
  );
  const plan = await run.plan();
  const { out, gradients } = await run();
  const results: ArrayLike<number>[] = [await out.read()];
  for (const gradient of gradients) results.push(await gradient.read());
  checkAttention(spec, host, results);
  return contender("forge-gpu", async (calls) => {
    for (let i = 0; i < calls; i++) plan.run([]);
    await device.idle();
  });
}
