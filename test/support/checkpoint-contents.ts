/** Checkpoints of a few numbers that are functions of their step: whoever reads one knows what must be in it. */
import type { CheckpointContents } from "../../src/train/checkpoint/contents.ts";

/** The contents of the checkpoint of a step: two sets of tensors, and a state. */
export function contentsOf(step: number, size = 300): CheckpointContents {
  const data = Float32Array.from({ length: size }, (_, i) => Math.fround(step + i / size));
  const ids = Uint16Array.of(step, 0x7e01, 0xffff);
  return {
    tensors: {
      policy: {
        tensors: [
          { name: "weight", dtype: "F32", shape: [size / 2, 2], data: async () => data },
          { name: "held", dtype: "F16", shape: [3], data: () => ids },
        ],
      },
      optimizer: {
        tensors: [
          { name: "m/weight", dtype: "F32", shape: [size], data: () => data.map(Math.sqrt) },
        ],
        metadata: { kind: "adamw", stepCount: String(step) },
      },
    },
    state: { step, pool: { groups: [{ id: step, tokens: "AAEC", best: null }] }, seed: 0.1 + step },
    writtenWith: { "forge-gpu": "1.2.3", adapter: "a software adapter" },
  };
}
