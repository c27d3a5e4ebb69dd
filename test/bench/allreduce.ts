/**
 * `tsx test/bench/allreduce.ts [--rounds 9] [--json]`: two processes sum 64 MiB of f32 over the ring on this machine, in
 * chunks of 1 MiB, and in turn send each other as many bytes over bare TCP.
 *
 * GB/s is of the vector, and so, with two ranks, of what each of them sends in f32. CPU is that of both processes, of all
 * their threads, by what both have sent.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { bytesOf } from "../../cluster/ring/wire-type.ts";
import { AllreduceRank, BYTES, type Way } from "./allreduce-rank.ts";

const WAYS: readonly Way[] = ["f32", "bf16", "tcp"];

interface Round {
  readonly seconds: number;
  readonly cpuSeconds: number;
}

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "9" },
    json: { type: "boolean", default: false },
  },
});

const rank = await AllreduceRank.open(0);
const child = spawn(
  process.execPath,
  ["--import", "tsx", join(import.meta.dirname, "allreduce-child.ts")],
  { stdio: ["pipe", "pipe", "inherit"] },
);
const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
const heard = async (): Promise<Record<string, unknown>> => JSON.parse((await lines.next()).value);
const tell = (line: string): void => void child.stdin.write(`${line}\n`);

const { url, port } = await heard();
tell(rank.url);
await rank.begin(String(url));
const socket = connect(Number(port), "127.0.0.1");
await once(socket, "connect");
rank.use(socket);

/** Sums once, and looks at the sum if it is asked to. */
async function measure(way: Way, isChecked = false): Promise<Round> {
  const cpu = process.cpuUsage();
  const start = performance.now();
  tell(isChecked ? `${way} check` : way);
  await rank.run(way);
  const seconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  if (isChecked) rank.check();
  const other = Number((await heard())["cpuMicroseconds"]);
  return { seconds, cpuSeconds: (user + system + other) / 1e6 };
}

const rounds = new Map<Way, Round[]>(WAYS.map((way) => [way, []]));
for (let round = -2; round < Number(values.rounds); round++)
  for (const way of WAYS) {
    const result = await measure(way, round < 0 && way !== "tcp");
    if (round >= 0) rounds.get(way)?.push(result);
  }

const median = (numbers: number[]): number =>
  numbers.sort((a, b) => a - b)[Math.floor(numbers.length / 2)] as number;

const results = WAYS.map((way) => {
  const all = rounds.get(way) ?? [];
  const sent = 2 * bytesOf(BYTES / 4, way === "tcp" ? "f32" : way);
  return {
    way,
    medianGBs: BYTES / 1e9 / median(all.map(({ seconds }) => seconds)),
    bestGBs: BYTES / 1e9 / Math.min(...all.map(({ seconds }) => seconds)),
    cpuSecondsPerGB: median(all.map(({ cpuSeconds }) => cpuSeconds)) / (sent / 1e9),
  };
});
child.stdin.end();
await rank.close();

const [f32, , tcp] = results;
const ratio = (f32?.medianGBs ?? Number.NaN) / (tcp?.medianGBs ?? Number.NaN);
if (values.json) process.stdout.write(`${JSON.stringify({ results, ratio })}\n`);
else {
  for (const { way, medianGBs, bestGBs, cpuSecondsPerGB } of results) {
    const speed = `${medianGBs.toFixed(2)} GB/s (best ${bestGBs.toFixed(2)})`;
    process.stdout.write(
      `${way.padEnd(5)} ${speed}, ${cpuSecondsPerGB.toFixed(2)} CPU s/GB sent\n`,
    );
  }
  process.stdout.write(`f32 / tcp: ${ratio.toFixed(2)} (goal 0.6)\n`);
}
