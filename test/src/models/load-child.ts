/** Loads a model directory, and prints how much memory its buffers on the host had at most. Run by memory.test.ts. */
import { openDevice } from "../../../engine/index.ts";
import { openModelDirectory } from "../../../src/models/directory.ts";

const [path, dtype] = process.argv.slice(2) as [string, "f32" | "f16"];
const device = await openDevice();
const { arrayBuffers: before } = process.memoryUsage();
let peakBytes = 0;
let samples = 0;
const opened = await openModelDirectory(path, {
  device,
  dtype,
  onProgress: () => {
    samples++;
    peakBytes = Math.max(peakBytes, process.memoryUsage().arrayBuffers - before);
  },
});
process.stdout.write(JSON.stringify({ peakBytes, samples, liveBytes: device.liveBytes }));
await opened.close();
process.exit(0);
