/** Links that are cut between network namespaces: nothing arrives any more, and no socket is told. */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { msToNextStep, SummingCluster } from "../support/cluster/summing-cluster.ts";
import type { SummingProcess } from "../support/cluster/summing-process.ts";
import { Network } from "../support/network.ts";

/** Milliseconds from the cut to the next step: three is what is aimed at, and a busy machine gets more. */
const MOST_COST = 10_000;
/** Milliseconds after which what was under way at the cut has been committed, or never will be. */
const SETTLED = 1_000;
/** Milliseconds that a cut lasts: several times what nodes need to miss each other, and to elect another leader. */
const CUT = 8_000;

const { obstacle } = Network;

/** Starts a node on each host. */
async function startOn(network: Network, cluster: SummingCluster): Promise<void> {
  await cluster.start(
    network.hosts.map((host) => ({ host: network.addressOf(host), under: network.under(host) })),
  );
}

/** Steps that nodes have committed between two moments. */
function stepsBetween(nodes: readonly SummingProcess[], from: number, to: number): number[] {
  const commits = nodes.flatMap((node) => node.commits);
  return commits.flatMap(({ step, at }) => (at >= from && at < to ? [step] : []));
}

describe.skipIf(obstacle !== undefined)(
  `links that are cut${obstacle === undefined ? "" : ` (skipped: ${obstacle})`}`,
  { timeout: 300_000 },
  () => {
    it.for([
      ["a member", "n2"],
      ["the leader", "n0"],
    ] as const)(
      "%s is cut off: the others go on without it, and it comes back",
      async ([, host], { annotate }) => {
        using network = new Network([["n0", "n1", "n2"]]);
        using cluster = new SummingCluster();
        await startOn(network, cluster);
        const { nodes } = cluster;
        const victim = nodes.find(({ id }) => id === host) as SummingProcess;
        const others = nodes.filter((node) => node !== victim);
        const cut = Date.now();
        network.setLink(host, "down");
        await cluster.until("they go on", () => others.every((node) => node.commitOf(2, cut)));
        const cost = msToNextStep(others, 2, cut);
        await annotate(`cut off: ${cost} ms to the next step`);
        expect(cost).toBeLessThan(MOST_COST);
        await sleep(Math.max(0, cut + CUT - Date.now()));
        const healed = Date.now();
        network.setLink(host, "up");
        expect(stepsBetween([victim], cut + SETTLED, healed)).toEqual([]);
        const [most] = others.map(({ step }) => step) as [number];
        expect(most).toBeGreaterThan(victim.step);
        await cluster.until("it is back", () => nodes.every((node) => node.commitOf(3, healed)));
        const back = msToNextStep([victim], 3, healed);
        await annotate(`joined again: ${back} ms until it is back`);
        cluster.expectSums();
      },
    );

    it("two halves lose each other: the one with the first member goes on, and the other one waits for it", async ({
      annotate,
    }) => {
      using network = new Network([
        ["n0", "n1"],
        ["n2", "n3"],
      ]);
      using cluster = new SummingCluster();
      await startOn(network, cluster);
      const { nodes } = cluster;
      const [first, second] = [nodes.slice(0, 2), nodes.slice(2)];
      const cut = Date.now();
      network.setTrunk("down");
      await cluster.until("they go on", () => first.every((node) => node.commitOf(2, cut)));
      await annotate(`halved: ${msToNextStep(first, 2, cut)} ms to the next step`);
      await sleep(Math.max(0, cut + CUT - Date.now()));
      const healed = Date.now();
      network.setTrunk("up");
      expect(stepsBetween(second, cut + SETTLED, healed)).toEqual([]);
      await cluster.until("they are one", () => nodes.every((node) => node.commitOf(4, healed)));
      await annotate(`met again: ${msToNextStep(second, 4, healed)} ms until all are back`);
      cluster.expectSums();
    });

    it("three parts, none of which has most of the others: nobody commits a step until they meet", async ({
      annotate,
    }) => {
      using network = new Network([["n0", "n1"], ["n2"]]);
      using cluster = new SummingCluster();
      await startOn(network, cluster);
      const { nodes } = cluster;
      const cut = Date.now();
      network.setTrunk("down");
      network.setLink("n1", "down");
      await sleep(CUT);
      const healed = Date.now();
      network.setLink("n1", "up");
      expect(stepsBetween(nodes, cut + SETTLED, healed)).toEqual([]);
      const two = nodes.slice(0, 2);
      await cluster.until("two go on", () => two.every((node) => node.commitOf(2, healed)));
      await annotate(`two met again: ${msToNextStep(two, 2, healed)} ms to the next step`);
      const whole = Date.now();
      network.setTrunk("up");
      await cluster.until("they are one", () => nodes.every((node) => node.commitOf(3, whole)));
      cluster.expectSums();
    });
  },
);
