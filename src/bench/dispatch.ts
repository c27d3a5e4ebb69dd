/** Replaying a plan of many tiny kernels: what a dispatch costs in JavaScript, and all in all. */
import { compile, type Device, type Plan, parameter, type Tensor } from "../../engine/index.ts";
import { loadSince, markLoad, waitForQuiet } from "./load.ts";
import { type Block, type Summary, summarize } from "./measure.ts";

/** Kernels of the plan: products of 8 × 8 with a permutation, so that the result is exact. */
const KERNELS = 1000;
const SIZE = 8;
/** Replays of a round. */
const REPLAYS = 10;

/** Milliseconds a dispatch. */
export interface DispatchTimes {
  /** Time in JavaScript: recording and submitting. */
  readonly script: Summary;
  /** From the call until the GPU is idle. */
  readonly replay: Summary;
}

/** Measures replays, after checking their result. */
export async function measureDispatch(
  device: Device,
  options: { readonly rounds: number; readonly patienceMs?: number },
): Promise<DispatchTimes> {
  const plan = await chainPlan(device);
  const script: Block[] = [];
  const replay: Block[] = [];
  for (let round = 0; round <= options.rounds; round++) {
    if (options.patienceMs) await waitForQuiet(options.patienceMs);
    const mark = markLoad();
    let scriptMs = 0;
    const start = performance.now();
    for (let i = 0; i < REPLAYS; i++) {
      const begin = performance.now();
      plan.run([]);
      scriptMs += performance.now() - begin;
      await device.idle();
    }
    const replayMs = performance.now() - start;
    const load = loadSince(mark);
    if (round === 0) continue; // warm-up
    script.push({ ms: scriptMs / REPLAYS / KERNELS, ...load });
    replay.push({ ms: replayMs / REPLAYS / KERNELS, ...load });
  }
  return {
    script: summarize("forge-gpu", script, REPLAYS),
    replay: summarize("forge-gpu", replay, REPLAYS),
  };
}

async function chainPlan(device: Device): Promise<Plan> {
  const start = Float32Array.from({ length: SIZE * SIZE }, (_, i) => i);
  const x = parameter([SIZE, SIZE], start, "x");
  const rotation = Float32Array.from({ length: SIZE * SIZE }, (_, i) =>
    (Math.floor(i / SIZE) + 1) % SIZE === i % SIZE ? 1 : 0,
  );
  const turn = parameter([SIZE, SIZE], rotation, "turn");
  const chain = compile(
    () => {
      let product: Tensor = x;
      for (let i = 0; i < KERNELS; i++) product = product.matmul(turn);
      return product;
    },
    { device, label: "dispatch" },
  );
  const plan = await chain.plan();
  const result = await (await chain()).read();
  const kernels = plan.describe().kernels.length;
  const isRight = result.every(
    (value, i) => value === i - (i % SIZE) + ((i + SIZE * KERNELS - KERNELS) % SIZE),
  );
  if (kernels !== KERNELS || !isRight) {
    throw new Error(
      `the chain of ${KERNELS} kernels is wrong: ${kernels} kernels, result ${result}`,
    );
  }
  return plan;
}
