/** Nodes between which bits change on their way: it is noticed, and nobody has another state for it. */
import { expect, it } from "vitest";
import { SummingCluster } from "../support/cluster/summing-cluster.ts";
import { CorruptingProxy, type Direction } from "../support/corrupting-proxy.ts";

/** How the moves of nodes have failed. */
function failuresOf({ nodes }: SummingCluster): string[] {
  return nodes.flatMap(({ events }) =>
    events.flatMap((event) => (event.type === "failed" ? [event.code] : [])),
  );
}

it.for<readonly [bits: number, plane: "ring" | "control", direction: Direction, every: number]>([
  [12, "ring", "from", 60_000],
  [8, "ring", "to", 2_500],
  [24, "control", "from", 1_500],
  [24, "control", "to", 1_500],
])(
  "%i bits change at the %s doors of three nodes, on the way %s them, one in about %i bytes",
  { timeout: 300_000 },
  async ([bits, plane, direction, every], { annotate }) => {
    using cluster = new SummingCluster();
    using a = await CorruptingProxy.open(1);
    using b = await CorruptingProxy.open(2);
    using c = await CorruptingProxy.open(3);
    const proxies = [a, b, c];
    for (const proxy of proxies) {
      const isRing = plane === "ring";
      const node = await cluster.add({ [isRing ? "advertiseRing" : "advertise"]: proxy.url });
      proxy.pointAt((isRing ? node.ring : node.url) as string);
    }
    const nodes = await cluster.start(0);
    const [first] = nodes.map(({ step }) => step) as [number];
    const changed = (): number => proxies.reduce((sum, proxy) => sum + proxy.changed, 0);
    for (const proxy of proxies) proxy.corrupt({ direction, every });
    await cluster.until("bits have changed", () => changed() >= bits);
    for (const proxy of proxies) proxy.corrupt(undefined);
    const ended = Date.now();
    const [last, failures] = [nodes.map(({ step }) => step), failuresOf(cluster)];
    await cluster.until("all go on", () => nodes.every((node) => node.commitOf(3, ended)));
    const codes = [...new Set(failures)].sort();
    const steps = Math.max(...last) - first;
    await annotate(`${changed()} bits, ${steps} steps, ${failures.length} moves failed: ${codes}`);
    // otherwise nothing was disturbed
    if (plane === "ring") expect(failures).not.toEqual([]);
    cluster.expectSums();
  },
);
