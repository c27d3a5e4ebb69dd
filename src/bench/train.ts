/** One training step of the decoder: forward, backward, AdamW, and the loss read back. */
import {
  AdamW,
  compile,
  type Device,
  embedding,
  grad,
  layerNorm,
  lmHead,
  type Plan,
  packedAttention,
  parameter,
  type State,
  type Tensor,
  tensor,
} from "../../engine/index.ts";
import {
  checkTraining,
  DECODER,
  decoderBatch,
  decoderWeights,
  type TrainingResult,
} from "./decoder-data.ts";
import { type Contender, contender } from "./measure.ts";

/** The decoder with its optimizer on a device. */
export interface Training {
  /** Does one step and returns the loss before it. */
  step(): Promise<number>;
  /** The same, and the norm of the gradient. */
  stepWithNorm(): Promise<{ loss: number; gradNorm: number }>;
  plan(): Promise<Plan>;
  dispose(): void;
}

/** Sets the decoder up; the first step compiles it. */
export function decoderTraining(device: Device): Training {
  const parameters: Record<string, State> = {};
  for (const [name, { shape, data }] of Object.entries(decoderWeights())) {
    parameters[name] = parameter(shape, data, name);
  }
  const batch = decoderBatch();
  const ids = tensor(Uint32Array.from(batch.ids));
  const labels = tensor(Uint32Array.from(batch.labels));
  const optimizer = new AdamW(device, Object.values(parameters), { lr: 1e-3 });
  const step = compile(
    (x: Tensor, y: Tensor) => {
      const loss = decoderLoss(parameters, x, y);
      const { gradNorm } = optimizer.step(grad(loss, optimizer.parameters));
      return { loss, gradNorm };
    },
    { device, label: "train" },
  );
  return {
    step: async () => (await step(ids, labels)).loss.item(),
    stepWithNorm: async () => {
      const { loss, gradNorm } = await step(ids, labels);
      return { loss: await loss.item(), gradNorm: await gradNorm.item() };
    },
    plan: () => step.plan(ids, labels),
    dispose: () => step[Symbol.dispose](),
  };
}

function decoderLoss(
  parameters: Readonly<Record<string, State>>,
  ids: Tensor,
  labels: Tensor,
): Tensor {
  const { tokens, batch, width, heads, layers } = DECODER;
  const p = (name: string): State => {
    const state = parameters[name];
    if (!state) throw new Error(`the decoder has no weight ${name}`);
    return state;
  };
  const count = batch * tokens;
  const sequenceEnds = Uint32Array.from(
    { length: count },
    (_, i) => (Math.floor(i / tokens) + 1) * tokens,
  );
  const end = tensor(sequenceEnds);
  const depth = tensor(Uint32Array.from({ length: count }, (_, i) => i % tokens));
  const layout = { heads, kvHeads: heads, headDim: width / heads };
  let h = embedding(ids, p("wte"))
    .reshape([batch, tokens, width])
    .add(p("wpe"))
    .reshape([count, width]);
  for (let layer = 0; layer < layers; layer++) {
    const w = (name: string): State => p(`h${layer}.${name}`);
    const a = layerNorm(h, w("ln1g"), { bias: w("ln1b") });
    const qkv = a.matmul(w("qkvw")).add(w("qkvb"));
    const attended = packedAttention(qkv, layout, { end, depth }).reshape([count, width]);
    h = h.add(attended.matmul(w("pw")).add(w("pb")));
    const f = layerNorm(h, w("ln2g"), { bias: w("ln2b") });
    h = h.add(f.matmul(w("f1w")).add(w("f1b")).gelu().matmul(w("f2w")).add(w("f2b")));
  }
  const out = layerNorm(h, p("lnfg"), { bias: p("lnfb") });
  return lmHead(out, p("wte"), labels).logprob.mean().neg();
}

/** The training step as a contender, checked against the golden numbers. */
export async function trainContender(device: Device): Promise<Contender & { training: Training }> {
  const training = decoderTraining(device);
  const first = await training.stepWithNorm();
  let loss = first.loss;
  for (let step = 1; step < 12; step++) loss = await training.step();
  const result: TrainingResult = {
    firstLoss: first.loss,
    gradNorm: first.gradNorm,
    lossAfter12: loss,
  };
  checkTraining("forge-gpu", result);
  const run = async (calls: number): Promise<void> => {
    for (let i = 0; i < calls; i++) await training.step();
  };
  return { ...contender("forge-gpu", run), training };
}
