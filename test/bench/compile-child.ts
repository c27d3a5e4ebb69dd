/** First use of the decoder's training step, in a process of its own; prints one JSON line. */
import { openDevice, setDefaultDevice } from "../../engine/index.ts";
import { GOLDEN } from "../../src/bench/decoder-data.ts";
import { decoderTraining } from "../../src/bench/train.ts";

const start = performance.now();
using device = await openDevice();
setDefaultDevice(device);
const opened = performance.now();
const training = decoderTraining(device);
const loss = await training.step();
const first = performance.now();
await training.step();
const second = performance.now();
const { value, tolerance } = GOLDEN.firstLoss;
if (Math.abs(loss - value) > tolerance) throw new Error(`the first loss is ${loss}, not ${value}`);
const { kernels, texts } = (await training.plan()).describe();
const times = { openMs: opened - start, firstMs: first - opened, secondMs: second - first };
console.log(JSON.stringify({ ...times, kernels: kernels.length, texts }));
