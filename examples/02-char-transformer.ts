// 02-char-transformer.ts — trains a small character model on a text and lets it write.
//
// Teaches  models, optimizers, schedules, batches as forests, compiled training steps, sampling
// Needs    any WebGPU adapter; a text (default: the documentation of this repository)
// Takes    22 s on a software adapter (lavapipe on two cores), 53 ms a step
// Expect   a loss of about 1.6 nats a character in training and 2.1 on the text held out; a sample with words in it
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  AdamW,
  chainForest,
  compile,
  cosine,
  embedding,
  getDefaultDevice,
  grad,
  parametersOf,
  Random,
  type Tensor,
  Transformer,
  tensor,
} from "forge-gpu/engine";

const CONTEXT = 64; // characters that the model sees
const SEQUENCES = 8; // in a batch
const SAMPLE = 400; // characters to write at the end
const TEMPERATURE = 0.7;

const { values: options } = parseArgs({
  options: {
    file: { type: "string" },
    steps: { type: "string", default: "400" },
    seed: { type: "string", default: "0" },
    help: { type: "boolean", default: false },
  },
});
if (options.help) {
  console.log(`Trains a small character model on a text and lets it write.

  --file <path>   the text (default: README.md, ARCHITECTURE.md and */README.md of this repository)
  --steps <n>     training steps, each of ${SEQUENCES} sequences of ${CONTEXT} characters (default 400)
  --seed <n>      of the weights, the batches and the sample (default 0)`);
  process.exit(0);
}
const steps = wholeNumber("steps", 1);
const random = new Random(wholeNumber("seed", 0));

// The text as numbers; the last tenth is held out.
if (options.file !== undefined && !existsSync(options.file)) stop(1, `no file ${options.file}`);
const text = options.file === undefined ? documentation() : readFileSync(options.file, "utf8");
const alphabet = [...new Set(text)].sort();
const ids = Uint32Array.from(text, (character) => alphabet.indexOf(character));
const cut = Math.floor(0.9 * ids.length);
const [training, heldOut] = [ids.subarray(0, cut), ids.subarray(cut)];
if (heldOut.length < 2 * CONTEXT) stop(1, `the text is too short: ${ids.length} characters`);

// The model: three layers of a decoder in Llama's style. Independent sequences are a forest of chains.
const model = new Transformer(random, {
  vocab: alphabet.length,
  layers: 3,
  width: 96,
  heads: 4,
  mlpWidth: 256,
});
const forest = chainForest(new Array<number>(SEQUENCES).fill(CONTEXT));
const device = await getDefaultDevice();
const optimizer = new AdamW(device, parametersOf(model), {
  lr: cosine({ lr: 3e-3, warmupSteps: Math.min(20, steps), totalSteps: steps, finalLr: 3e-4 }),
  weightDecay: 0.1,
  clipNorm: 1,
});
const lossOf = (x: Tensor, y: Tensor): Tensor => model.score(x, y, forest).logprob.mean().neg();
const trainStep = compile((x: Tensor, y: Tensor) => {
  const loss = lossOf(x, y);
  optimizer.step(grad(loss, optimizer.parameters));
  return loss;
});
const evaluate = compile(lossOf);

const count = optimizer.parameters.reduce((n, p) => n + p.size, 0);
console.log(`adapter    ${device.name}${device.isSoftware ? " (software)" : ""}`);
console.log(
  `text       ${ids.length} characters, ${alphabet.length} different ones; a tenth held out`,
);
console.log(
  `model      ${count} parameters, ${steps} steps of ${SEQUENCES} × ${CONTEXT} characters`,
);

const started = performance.now();
const seconds = (): number => (performance.now() - started) / 1000;
let warm = 0;
let recent = 0;
for (let n = 1; n <= steps; n++) {
  const starts = Array.from({ length: SEQUENCES }, () => random.integer(training.length - CONTEXT));
  const loss = await trainStep(...batch(training, starts));
  if (n % 10 === 0 || n === 1 || n === steps) {
    const value = await loss.item();
    recent = recent === 0 ? value : (recent + value) / 2;
    report(n, recent);
  }
}
const took = seconds();
const unseen = await heldOutLoss();
console.log(
  `loss       ${recent.toFixed(3)} nats a character in training, ${unseen.toFixed(3)} on the text held out`,
);
const pace = (1000 * (took - warm)) / Math.max(1, steps - 1);
console.log(
  `time       ${took.toFixed(1)} s: the first step ${warm.toFixed(1)} s, then ${pace.toFixed(1)} ms each`,
);
console.log(`sample\n${await write("\n")}\n`);
device[Symbol.dispose]();

/** Inputs and labels of the sequences that begin at `starts`: each character's label is the next one. */
function batch(source: Uint32Array, starts: readonly number[]): [x: Tensor, y: Tensor] {
  const cutOut = (shift: number): Tensor =>
    tensor(
      Uint32Array.from(starts.flatMap((s) => [...source.subarray(s + shift, s + shift + CONTEXT)])),
    );
  return [cutOut(0), cutOut(1)];
}

/** Mean loss over the text held out, in windows evenly apart. */
async function heldOutLoss(): Promise<number> {
  const room = heldOut.length - CONTEXT - 1;
  const batches = Math.ceil(room / CONTEXT / SEQUENCES);
  const windows = batches * SEQUENCES;
  let sum = 0;
  for (let b = 0; b < batches; b++) {
    const starts = Array.from({ length: SEQUENCES }, (_, s) =>
      Math.floor((room * (b * SEQUENCES + s)) / Math.max(1, windows - 1)),
    );
    sum += await (await evaluate(...batch(heldOut, starts))).item();
  }
  return sum / batches;
}

/** Writes on after `prompt`, a character at a time, always by a whole forward pass over the last CONTEXT characters. */
async function write(prompt: string): Promise<string> {
  const chain = chainForest([CONTEXT]);
  const next = compile((x: Tensor, last: Tensor) =>
    model.logits(embedding(last, model.hidden(x, chain))),
  );
  const written = Array.from(prompt, (character) => Math.max(0, alphabet.indexOf(character)));
  while (written.length < SAMPLE) {
    const seen = written.slice(-CONTEXT);
    const padded = new Uint32Array(CONTEXT);
    padded.set(seen); // what stands behind the last character cannot be seen from it
    const logits = await (
      await next(tensor(padded), tensor(Uint32Array.of(seen.length - 1)))
    ).read();
    const top = Math.max(...logits);
    const weights = Array.from(logits, (logit) => Math.exp((logit - top) / TEMPERATURE));
    let left = random.uniform() * weights.reduce((a, b) => a + b);
    const pick = weights.findIndex((weight) => {
      left -= weight;
      return left < 0;
    });
    written.push(Math.max(0, pick));
  }
  return written.map((id) => alphabet[id]).join("");
}

/** A progress bar on a terminal, else a line for each tenth. */
function report(n: number, loss: number): void {
  if (n === 1) warm = seconds(); // the first step compiles
  const left = ((seconds() - warm) / Math.max(1, n - 1)) * (steps - n);
  const line = `${String(n).padStart(String(steps).length)}/${steps}  loss ${loss.toFixed(3)}  ${left.toFixed(0)} s left`;
  if (process.stderr.isTTY) {
    const bar = "█".repeat(Math.round((30 * n) / steps)).padEnd(30, "·");
    process.stderr.write(`\rtraining   ${bar} ${line}   ${n === steps ? "\n" : ""}`);
  } else if (n === 1 || n === steps || n % (Math.ceil(steps / 100) * 10) === 0) {
    process.stderr.write(`training   ${line}\n`);
  }
}

/** The pages of this repository: README.md, ARCHITECTURE.md, and the README.md of each folder. */
function documentation(): string {
  const root = join(import.meta.dirname, "..");
  const folders = readdirSync(root).filter((name) => !/^\.|^node_modules$/.test(name));
  return ["README.md", "ARCHITECTURE.md", ...folders.sort().map((name) => join(name, "README.md"))]
    .map((page) => join(root, page))
    .filter((page) => existsSync(page))
    .map((page) => readFileSync(page, "utf8"))
    .join("\n");
}

function wholeNumber(name: "steps" | "seed", least: number): number {
  const value = Number(options[name]);
  if (Number.isInteger(value) && value >= least) return value;
  stop(2, `--${name} takes a whole number from ${least} on, not "${options[name]}"`);
}

function stop(code: number, message: string): never {
  console.error(message);
  process.exit(code);
}
