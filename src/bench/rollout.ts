/** Sampling: prompts read and tokens decoded, for batches of many sizes. */
import {
  type CausalLM,
  chainForest,
  compile,
  createModel,
  type Device,
  lmHead,
  type ModelConfig,
  parametersOf,
  type Tensor,
  tensor,
} from "../../engine/index.ts";
import { Sampler, type SamplerStats } from "../rollout/sampler.ts";
import { contender, type MeasureOptions, measure, type Summary } from "./measure.ts";
import { generator } from "./numbers.ts";
import type { Row } from "./report.ts";

/** A model whose sampling is measured. Its weights are random: they cost what trained ones cost. */
interface RolloutSpec {
  readonly name: string;
  readonly config: ModelConfig;
  readonly batches: readonly number[];
  readonly cacheDtype: "f32" | "f16";
}

const SIZES = [1, 2, 4, 8, 16, 32, 64];

/** The shape of karpathy's stories260K, and the decoder of the training benchmark with Llama's layers. */
const SMALL: readonly RolloutSpec[] = [
  {
    name: "stories260K",
    config: {
      vocab: 512,
      layers: 5,
      width: 64,
      heads: 8,
      kvHeads: 4,
      mlpWidth: 172,
      maxDepth: 512,
    },
    batches: SIZES,
    cacheDtype: "f32",
  },
  {
    name: "0.8 M",
    config: { vocab: 256, layers: 4, width: 128, heads: 4, mlpWidth: 344, maxDepth: 512 },
    batches: [1, 8, 32, 64],
    cacheDtype: "f32",
  },
];

/** The published shape of Qwen2.5-0.5B. */
const LARGE: RolloutSpec = {
  name: "Qwen2.5-0.5B, f16",
  config: {
    family: "qwen2",
    vocab: 151_936,
    layers: 24,
    width: 896,
    heads: 14,
    kvHeads: 2,
    mlpWidth: 4864,
    maxDepth: 2048,
    normEps: 1e-6,
    rope: { theta: 1e6 },
    isTied: true,
    weightDtype: "f16",
    init: () => 0.01,
  },
  batches: [1, 8, 64],
  cacheDtype: "f16",
};

/** What is measured on a device. */
function specsOf(device: Device): readonly RolloutSpec[] {
  return device.isSoftware ? SMALL : [...SMALL, LARGE];
}

/** Tokens that each sequence decodes in a call, after a prompt of one. */
const DECODED = 128;
/** Tokens of a prompt. */
const PROMPT = 128;

/** One row for each model and batch: decoding; and for each model: reading prompts. */
export async function rolloutRows(device: Device, options: MeasureOptions): Promise<Row[]> {
  const rows: Row[] = [];
  for (const spec of specsOf(device)) {
    const model = createModel(spec.config);
    if (spec !== LARGE) await check(device, model, spec);
    for (const batch of spec.batches)
      rows.push(await decodeRow(device, model, spec, batch, options));
    rows.push(await prefillRow(device, model, spec, options));
    for (const state of parametersOf(model.transformer)) state[Symbol.dispose]();
  }
  return rows;
}

function openSampler(
  device: Device,
  model: CausalLM,
  { cacheDtype }: RolloutSpec,
  batch: number,
): Sampler {
  const length = Math.max(DECODED, PROMPT) + 8;
  return new Sampler({ device, model, batch, length, cacheDtype });
}

async function decodeRow(
  device: Device,
  model: CausalLM,
  spec: RolloutSpec,
  batch: number,
  options: MeasureOptions,
): Promise<Row> {
  const sampler = openSampler(device, model, spec, batch);
  const prompt = [1];
  const { summary, hostShare } = await measured(sampler, options, () =>
    Promise.all(
      Array.from({ length: batch }, () => sampler.generate({ prompt, maxTokens: DECODED })),
    ),
  );
  await sampler.close();
  return {
    ...summary,
    task: `${spec.name}, decode, batch ${batch}`,
    bytes: DECODED * stepBytes(model, spec, batch),
    tokens: DECODED * batch,
    hostShare,
  };
}

async function prefillRow(
  device: Device,
  model: CausalLM,
  spec: RolloutSpec,
  options: MeasureOptions,
): Promise<Row> {
  const batch = 8;
  const sampler = openSampler(device, model, spec, batch);
  const next = generator(7);
  const { vocab } = model.options;
  const prompts = Array.from({ length: batch }, () =>
    Array.from({ length: PROMPT }, () => Math.floor(next() * vocab)),
  );
  const { summary, hostShare } = await measured(sampler, options, () => {
    sampler.policyVersion++; // what the last call left in the cache is of no use
    return Promise.all(prompts.map((prompt) => sampler.generate({ prompt, maxTokens: 1 })));
  });
  await sampler.close();
  return {
    ...summary,
    task: `${spec.name}, prefill, ${batch} × ${PROMPT}`,
    flops: 2 * matrixElements(model) * batch * PROMPT,
    tokens: batch * PROMPT,
    hostShare,
  };
}

async function measured(
  sampler: Sampler,
  options: MeasureOptions,
  call: () => Promise<unknown>,
): Promise<{ summary: Summary; hostShare: number }> {
  await call();
  let [host, wait] = [0, 0];
  const run = async (calls: number): Promise<void> => {
    const before: SamplerStats = sampler.stats;
    for (let i = 0; i < calls; i++) await call();
    host += sampler.stats.hostMs - before.hostMs;
    wait += sampler.stats.waitMs - before.waitMs;
  };
  const [summary] = await measure([contender("forge-gpu", run)], options);
  return { summary: summary as Summary, hostShare: host / (host + wait) };
}

/** Elements of all matrices that a token goes through. */
function matrixElements({ transformer }: CausalLM): number {
  const matrices = parametersOf(transformer).filter((p) => p.rank === 2);
  const table = transformer.embedding.weight;
  const sum = matrices.reduce((total, p) => total + p.size, 0);
  return transformer.head === table ? sum : sum - table.size;
}

/** Bytes that a step must read at least: weights once, and the keys and values of sequences half grown. */
function stepBytes(model: CausalLM, { cacheDtype }: RolloutSpec, batch: number): number {
  const { layers, heads, kvHeads = heads, headDim = model.options.width / heads } = model.options;
  const element = cacheDtype === "f16" ? 2 : 4;
  const cached = batch * layers * (DECODED / 2) * 2 * kvHeads * headDim * element;
  const width = model.options.weightDtype === "f16" ? 2 : 4;
  return matrixElements(model) * width + cached;
}

/** Sampled log-probs must be those of the training path over the same ids, before anything is timed. */
async function check(device: Device, model: CausalLM, spec: RolloutSpec): Promise<void> {
  const sampler = openSampler(device, model, spec, 4);
  const done = await Promise.all(
    [3, 17, 40, 64].map((length) =>
      sampler.generate({
        prompt: Array.from({ length }, (_, i) => (i * 31 + length) % 200),
        maxTokens: 32,
      }),
    ),
  );
  await sampler.close();
  const ids = done.flatMap((g) => [...g.promptIds, ...g.ids]);
  const labels = done.flatMap((g) => [...g.promptIds, ...g.ids, -1].slice(1));
  const forest = chainForest(done.map((g) => g.promptIds.length + g.ids.length));
  const { transformer } = model;
  const score = compile(
    (x: Tensor, y: Tensor) => lmHead(transformer.hidden(x, forest), transformer.head, y).logprob,
    { device, label: "check" },
  );
  const logprobs = await (
    await score(tensor(Uint32Array.from(ids)), tensor(Int32Array.from(labels)))
  ).read();
  score[Symbol.dispose]();
  let at = 0;
  for (const { promptIds, ids: sampled, logprobs: own } of done) {
    const from = at + promptIds.length - 1;
    at += promptIds.length + sampled.length;
    const worst = Math.max(...own.map((x, t) => Math.abs(x - (logprobs[from + t] as number))));
    if (worst < 1e-4) continue;
    throw new Error(`${spec.name}: sampled log-probs are ${worst} off those of training`);
  }
}
