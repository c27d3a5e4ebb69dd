// 03-generate.ts — samples from a model before and after it is trained: the same weights, the same cache, no copy.
//
// Teaches  models and tokenizers made from scratch, the sampler, the scorer, and what a change of the weights asks of them
// Needs    any WebGPU adapter
// Takes    10 s on a software adapter (lavapipe on two cores)
// Expect   noise before; after 160 steps the rhyme by heart, and log-probs that sampler and scorer agree on to 1e-5
import { parseArgs } from "node:util";
import {
  AdamW,
  byteTokenizer,
  chainForest,
  compile,
  cosine,
  createModel,
  getDefaultDevice,
  grad,
  parametersOf,
  Sampler,
  Scorer,
  Tokenizer,
  tensor,
} from "forge-gpu";

/** Jane Taylor, The Star (1806). */
const RHYME = `Twinkle, twinkle, little star,
How I wonder what you are!
Up above the world so high,
Like a diamond in the sky.
When the blazing sun is gone,
When he nothing shines upon,
Then you show your little light,
Twinkle, twinkle, all the night.`;
const PROMPT = "Twinkle";
const TEMPERATURE = 0.5;

const { values: options } = parseArgs({
  options: {
    steps: { type: "string", default: "160" },
    seed: { type: "string", default: "0" },
    help: { type: "boolean", default: false },
  },
});
const [steps, seed] = [Number(options.steps), Number(options.seed)];
if (options.help || ![steps, seed].every((n) => Number.isInteger(n) && n >= 0)) {
  console.log(`Samples from a model before and after it is trained on a rhyme.

  --steps <n>   training steps, each over the whole rhyme (default 160)
  --seed <n>    of the weights and of what is sampled (default 0)`);
  process.exit(options.help ? 0 : 2);
}

// A model of bytes, and one token more that ends a text.
const END = "<|end|>";
const tokenizer = Tokenizer.from({
  tokenizer: byteTokenizer({ specialTokens: [END] }),
  config: { eos_token: END },
});
const model = createModel({
  ...{ vocab: tokenizer.vocabSize, layers: 2, width: 64, heads: 4, mlpWidth: 192, maxDepth: 512 },
  seed,
});
const device = await getDefaultDevice();
const parameters = parametersOf(model.transformer);
console.log(`adapter  ${device.name}${device.isSoftware ? " (software)" : ""}`);
console.log(`model    ${parameters.reduce((sum, p) => sum + p.size, 0)} parameters\n`);

// Both use the weights where they are. The sampler keeps the keys and values of what it has read.
const sampler = new Sampler({ device, model, tokenizer, batch: 2 });
const scorer = new Scorer({ device, model });

const ids = [...tokenizer.encode(RHYME), tokenizer.eosId as number];

/** One greedy and one sampled continuation, in one batch, and how probable the rhyme is. */
async function report(title: string): Promise<void> {
  const prompt = tokenizer.encode(PROMPT);
  const [greedy, sampled] = await Promise.all(
    [0, TEMPERATURE].map((temperature) =>
      sampler.generate({ prompt, maxTokens: 240, sampling: { temperature, seed } }),
    ),
  );
  if (!greedy || !sampled) return;
  console.log(`── ${title} ──`);
  console.log(`greedy   ${JSON.stringify(greedy.text)}`);
  console.log(`sampled  ${JSON.stringify(sampled.text)}`);

  const [rhyme] = await scorer.score([{ ids }]);
  const nats = -(rhyme?.logprobs.reduce((a, b) => a + b, 0) ?? 0) / (ids.length - 1);
  console.log(`rhyme    ${nats.toFixed(3)} nats a byte`);
  // What training will see of the sampled tokens is what the sampler saw.
  const [same] = await scorer.score(
    [{ ids: [...sampled.promptIds, ...sampled.ids], from: prompt.length }],
    { temperature: TEMPERATURE },
  );
  const apart = sampled.logprobs.map((logprob, t) => Math.abs(logprob - (same?.logprobs[t] ?? 0)));
  console.log(
    `agreed   to ${Math.max(...apart).toExponential(1)} on the log-probs of what was sampled\n`,
  );
}

await report("before");

// Training as in 02-char-transformer.ts: one chain, each token's label is the next one.
const [tokens, labels] = [ids.slice(0, -1), ids.slice(1)].map((part) =>
  tensor(Uint32Array.from(part)),
) as [ReturnType<typeof tensor>, ReturnType<typeof tensor>];
const forest = chainForest([ids.length - 1]);
const optimizer = new AdamW(device, parameters, {
  lr: cosine({ lr: 4e-3, warmupSteps: 10, totalSteps: Math.max(11, steps), finalLr: 4e-4 }),
  clipNorm: 1,
});
const step = compile(() => {
  const loss = model.transformer.score(tokens, labels, forest).logprob.mean().neg();
  optimizer.step(grad(loss, optimizer.parameters));
  return loss;
});
const started = performance.now();
for (let n = 0; n < steps; n++) await step();
await device.idle();
console.log(`${steps} steps in ${((performance.now() - started) / 1000).toFixed(1)} s\n`);

// The weights are new: what the cache holds was computed with the old ones. That is all there is to say to the sampler.
sampler.policyVersion++;
await report("after");

await sampler.close();
device[Symbol.dispose]();
