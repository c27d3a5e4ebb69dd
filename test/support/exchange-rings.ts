/** The rings of some nodes in one process, for what trains through them. */
import { onTestFinished } from "vitest";
import { Collectives, openRings, type Rings, Token } from "../../cluster/index.ts";

/** Of an epoch that has begun, by rank; they end with the test. */
export async function exchangeRings(world: number): Promise<readonly Collectives[]> {
  const token = Token.create();
  const members = Array.from({ length: world }, (_, rank) => `n${rank}`);
  const all: Rings[] = [];
  onTestFinished(async () => {
    await Promise.all(all.map((rings) => rings[Symbol.asyncDispose]()));
  });
  for (const nodeId of members)
    all.push(await openRings({ runId: "0f".repeat(16), token, nodeId, progressMs: 60_000 }));
  const addressesOf = (node: string): readonly string[] | undefined =>
    all[members.indexOf(node)]?.urls;
  await Promise.all(all.map((rings) => rings.begin({ epoch: 1, members, addressesOf })));
  return all.map((rings, rank) => new Collectives({ rings, rank, world, chunkBytes: 2 ** 16 }));
}
