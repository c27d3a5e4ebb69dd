/** Ways to hold 16-bit floats, and devices that have to. */
import type { Device } from "../../engine/index.ts";
import type { Held } from "../../engine/ops/held-operands.ts";

/** A way to hold operands, by name. */
export interface HeldCase {
  readonly name: string;
  readonly held: Held;
}

/** Every way but f32. */
export const HELD: readonly HeldCase[] = [
  { name: "bf16", held: { dtype: "bf16", packing: "bf16" } },
  { name: "f16 in words", held: { dtype: "f16", packing: "f16" } },
  { name: "f16", held: { dtype: "f16" } },
];

/** Runs `fn` as on an adapter with or without shader-f16: without it, f16 lies packed in words. */
export async function withPacking<T>(
  device: Device,
  { dtype, packing }: Held,
  fn: () => Promise<T>,
): Promise<T> {
  const facts = device as { hasF16: boolean };
  const { hasF16 } = facts;
  if (dtype === "f16" && packing) facts.hasF16 = false;
  try {
    return await fn();
  } finally {
    facts.hasF16 = hasF16;
  }
}
