/**
 * `tsx test/bench/rate-limited.ts [MBIT] [MIB] [ROUNDS]`: what share of links that carry so much (default 50 Mbit/s) sums of such
 * vectors (default 16 MiB, f32) use. Each node is a process in a network namespace of its own, whose link to a bridge is limited by tc.
 *
 * The bound is 2(N−1)/N of the vector over what is left for TCP's payload of the limit: of a packet's 1,514 bytes, which tc
 * counts, 66 are headers of Ethernet, IP and TCP (with time stamps). What tc lets through at once is taken off. Bare TCP, measured in turns with the ring, is held to the same
 * bound. Needs Linux, iproute2 and the right to make namespaces.
 */
import { sentBytes } from "../../src/bench/allreduce-rank.ts";
import { AllreduceRanks } from "../../src/bench/allreduce-ranks.ts";
import { table } from "../../src/bench/report.ts";
import { BURST, Network } from "../support/network.ts";

const [MBIT = 50, MIB = 16, ROUNDS = 9] = process.argv.slice(2).map(Number);
const WORLDS = [2, 4, 8];
const WARM_UP = 1;
const PAYLOAD = 1448 / 1514;

/** Seconds of a sum, and of as many bytes over bare TCP, by rounds; the slowest node counts. */
async function measure(world: number): Promise<{ bound: number; ring: number[]; tcp: number[] }> {
  using network = new Network([Array.from({ length: world }, (_, rank) => `node${rank}`)]);
  const { hosts } = network;
  for (const host of hosts) network.limit(host, MBIT * 1e6);
  await using ranks = new AllreduceRanks(world, {
    under: (rank) => network.under(hosts[rank] as string),
  });
  const settings = { world, bytes: MIB * 2 ** 20, wire: "f32", threads: 0 } as const;
  const cut = { chunkBytes: 2 ** 18, bucketBytes: MIB * 2 ** 20 };
  const addresses = hosts.map((host) => network.addressOf(host));
  await ranks.begin(await ranks.open({ ...settings, ...cut }, addresses));
  const seconds = { ring: [] as number[], tcp: [] as number[] };
  for (let round = -WARM_UP; round < ROUNDS; round++)
    for (const way of ["ring", "tcp"] as const) {
      const turns = await ranks.run(way);
      if (round >= 0) seconds[way].push(Math.max(...turns.map((turn) => turn.seconds)));
    }
  return { ...seconds, bound: (8 * (sentBytes(settings) / PAYLOAD - BURST)) / (MBIT * 1e6) };
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] as number;
}

const obstacle = Network.obstacle;
if (obstacle !== undefined) {
  process.stdout.write(`skipped: ${obstacle}\n`);
  process.exit();
}
const rows: string[][] = [["N", "bound", "ring", "share", "best", "TCP", "share", "best"]];
for (const world of WORLDS) {
  const { bound, ring, tcp } = await measure(world);
  const share = (seconds: number): string => `${((100 * bound) / seconds).toFixed(1)} %`;
  const ms = (seconds: number): string => `${(1000 * seconds).toFixed(0)} ms`;
  const ringCells = [ms(median(ring)), share(median(ring)), share(Math.min(...ring))];
  const tcpCells = [ms(median(tcp)), share(median(tcp)), share(Math.min(...tcp))];
  rows.push([String(world), ms(bound), ...ringCells, ...tcpCells]);
}
process.stdout.write(
  `${MIB} MiB at ${MBIT} Mbit/s, medians of ${ROUNDS} rounds\n\n${table(rows)}\n`,
);
