/** The benchmarks of our engine alone: each gives one section of the report. */
import type { Device } from "../../engine/index.ts";
import { attentionContender, attentionFlops, attentionName, attentionSpecs } from "./attention.ts";
import { decoderFlops } from "./decoder-data.ts";
import { measureDispatch } from "./dispatch.ts";
import { matmulContender, matmulFlops, matmulName, matmulSpecs } from "./matmul.ts";
import { type MeasureOptions, measure, type Summary } from "./measure.ts";
import type { Row, Section } from "./report.ts";
import { rolloutRows } from "./rollout.ts";
import { withRoofs } from "./roofs.ts";
import { trainContender } from "./train.ts";
import { treeSection } from "./tree.ts";

/** The names of the benchmarks. */
export type Benchmark = "matmul" | "attention" | "train" | "tree" | "rollout" | "dispatch";

/** Runs one benchmark. */
export function runBenchmark(
  device: Device,
  name: Benchmark,
  options: MeasureOptions,
): Promise<Section> {
  return RUNNERS[name](device, options);
}

const RUNNERS: Readonly<
  Record<Benchmark, (device: Device, options: MeasureOptions) => Promise<Section>>
> = {
  matmul: async (device, options) => {
    const { result, roofs } = await withRoofs(device, options, async () => {
      const rows: Row[] = [];
      for (const spec of matmulSpecs(device)) {
        const [summary] = await measure([await matmulContender(device, spec)], options);
        rows.push({ ...(summary as Summary), task: matmulName(spec), flops: matmulFlops(spec) });
      }
      return rows;
    });
    return { rows: result, roofs };
  },
  attention: async (device, options) => {
    const { result, roofs } = await withRoofs(device, options, async () => {
      const rows: Row[] = [];
      for (const spec of attentionSpecs(device)) {
        const [summary] = await measure([await attentionContender(device, spec)], options);
        const task = attentionName(spec);
        rows.push({ ...(summary as Summary), task, flops: attentionFlops(spec) });
      }
      return rows;
    });
    return { rows: result, notes: [ATTENTION_NOTE], roofs };
  },
  train: async (device, options) => {
    const { result, roofs } = await withRoofs(device, options, async () =>
      measure([await trainContender(device)], { blockMs: 500, ...options }),
    );
    const rows = result.map((s): Row => ({ ...s, task: TRAIN_TASK, flops: decoderFlops() }));
    return { rows, notes: [TRAIN_NOTE], roofs };
  },
  tree: treeSection,
  rollout: async (device, options) => {
    const { result, roofs } = await withRoofs(device, options, () => rolloutRows(device, options));
    return { rows: result, notes: [ROLLOUT_NOTE], roofs };
  },
  dispatch: async (device, options) => {
    const { script, replay } = await measureDispatch(device, options);
    const rows: Row[] = [
      { ...script, task: "JavaScript" },
      { ...replay, task: "until idle" },
    ];
    return { rows, notes: [DISPATCH_NOTE] };
  },
};

/** The name of the training benchmark's task. */
export const TRAIN_TASK = "decoder, 842,496 parameters, 1,024 tokens";

/** What must be known to read the attention table. */
const ATTENTION_NOTE =
  "Operations are those of visible pairs: 2 products forward, 5 more for the gradients.";

/** What must be known to read the training table. */
export const TRAIN_NOTE =
  "One call is forward, backward, AdamW, and the loss read back. Operations are those of the matrix products.";

/** What must be known to read the rollout table. */
const ROLLOUT_NOTE =
  "A call decodes 128 tokens of each sequence after a prompt of one, or reads 8 prompts of 128. `tokens` is the rate, `host` " +
  "the share of the time in which the host prepared or took in what the adapter did. Bytes are the weights once a step, and the " +
  "keys and values; operations those of the weights.";

/** What must be known to read the dispatch table. */
const DISPATCH_NOTE =
  "Per dispatch of a plan of 1,000: `JavaScript` is the time of the call that replays it, `until idle` the time until the adapter is done.";
