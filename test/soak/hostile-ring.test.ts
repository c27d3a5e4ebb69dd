/**
 * A ring of processes that goes on summing while both doors of one of its nodes are sent what chance makes: frames of somebody who
 * has the token, heads of those who have not, plain requests, and dials of the ring with tickets of nobody.
 */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { HEADER } from "../../cluster/transport/handshake.ts";
import { Token } from "../../cluster/transport/token.ts";
import {
  bytesOf,
  type Chance,
  CONTROL,
  chanceOf,
  mutated,
  pick,
} from "../cluster/transport/fuzz.ts";
import { frame, headersFor, RawClient, requestOf } from "../cluster/transport/hostile.ts";
import { SummingCluster } from "../support/cluster/summing-cluster.ts";
import type { SummingProcess } from "../support/cluster/summing-process.ts";

const EACH = 40_000;
const BURST = 20;
const ABREAST = 8;
const MIB = 2 ** 20;

const token = Token.parse("5a".repeat(32));
const run = { [HEADER.run]: "0f".repeat(16) };

/** Codes or statuses by how often, and what should not have been. */
interface Found {
  readonly codes: Record<number, number>;
  readonly wrong: string[];
}

function portOf(url: string | undefined): number {
  return Number(new URL(url ?? "").port);
}

/** Frames that are right, then one that is not, and then whatever; the code is that of the first wrong one. */
async function frames(port: number, chance: Chance, { codes, wrong }: Found): Promise<number> {
  const client = new RawClient(port);
  await client.upgrade(headersFor(token, run));
  const right = Array.from({ length: chance(BURST) }, () =>
    frame({ opcode: 9 + chance(2), payload: bytesOf(chance(126), chance) }),
  );
  const spoilt = Array.from({ length: BURST - right.length }, () => pick(CONTROL, chance));
  client.write(Buffer.concat([...right, ...spoilt.map(({ bytes }) => bytes)]));
  client.socket.end();
  const code = await client.closeCode();
  codes[code] = (codes[code] ?? 0) + 1;
  const expected = spoilt[0]?.code;
  const isRight = expected === undefined ? code !== 1011 : code === expected;
  if (!isRight) wrong.push(`${code} instead of ${expected}`);
  return BURST;
}

/** What the door answers to heads and requests, some at once. */
async function requests(
  port: number,
  { codes, wrong }: Found,
  made: readonly Buffer[],
): Promise<number> {
  const client = new RawClient(port);
  client.write(Buffer.concat(made));
  client.socket.end();
  const text = (await client.rest()).toString("latin1");
  for (const [, digits] of text.matchAll(/HTTP\/1\.1 (\d{3}) /g)) {
    const status = Number(digits);
    codes[status] = (codes[status] ?? 0) + 1;
    if (status >= 500 && status !== 503) wrong.push(`${status}`);
  }
  return made.length;
}

/** Dials of the ring, by a trainer that has no ticket, or one that chance has made. */
function dials(chance: Chance): Buffer[] {
  const ticket = Buffer.from(bytesOf(chance(200), chance)).toString("base64url");
  const given = chance(4) === 0 ? {} : { [HEADER.ticket]: ticket };
  const bytes = Buffer.from(requestOf("/ring", headersFor(token, { ...run, ...given }, "ring")));
  if (chance(2) === 0) bytes[chance(bytes.length)] = chance(256);
  return [bytes];
}

function memoryOf({ process: { pid } }: SummingProcess): number {
  const text = readFileSync(`/proc/${pid}/status`, "utf8");
  return 1024 * Number(/VmRSS:\s+(\d+)/.exec(text)?.[1]);
}

test(`${3 * EACH} hostile frames and requests disturb no ring that sums`, async () => {
  using cluster = new SummingCluster();
  const nodes = await cluster.start(3);
  const victim = nodes[1] as SummingProcess;
  const heard = victim.events.find((event) => event.type === "listening");
  const [control, ring] = [portOf(victim.url), portOf(heard?.ring)];
  const chance = chanceOf(Date.now() % 2 ** 31);
  const found = (): Found => ({ codes: {}, wrong: [] });
  const attacks = {
    frames: { found: found(), sent: 0, once: (f: Found) => frames(control, chance, f) },
    requests: {
      ...{ found: found(), sent: 0 },
      once: (f: Found) =>
        requests(
          ...([chance(2) === 0 ? control : ring, f] as const),
          Array.from({ length: 1 + chance(7) }, () => mutated(token, chance, run)),
        ),
    },
    dials: { found: found(), sent: 0, once: (f: Found) => requests(ring, f, dials(chance)) },
  };
  const before = victim.step;
  // each thread of a process takes what it needs when its door is first attacked
  const memory: number[] = [];
  for (const most of [EACH / 2, EACH]) {
    for (const attack of Object.values(attacks)) {
      while (attack.sent < most) {
        const all = Array.from({ length: ABREAST }, () => attack.once(attack.found));
        for (const count of await Promise.all(all)) attack.sent += count;
      }
    }
    memory.push(memoryOf(victim));
  }
  const [settled = 0, last = 0] = memory;
  const grown = last - settled;
  for (const [name, { sent, found }] of Object.entries(attacks))
    process.stderr.write(`${JSON.stringify({ name, sent, codes: found.codes })}\n`);
  process.stderr.write(`${victim.step - before} steps beside, ${grown / MIB} MiB more\n`);
  for (const { found } of Object.values(attacks)) expect(found.wrong).toEqual([]);
  const { 101: letIn = 0 } = attacks.dials.found.codes;
  expect(letIn).toBe(0);
  expect(grown).toBeLessThan(32 * MIB);
  expect(victim.step - before).toBeGreaterThan(100);
  // nobody left, and nobody was left out
  const together = victim.commits.findIndex(({ members }) => members.length === 3);
  for (const { members } of victim.commits.slice(together)) expect(members).toHaveLength(3);
  cluster.expectSums();
});
