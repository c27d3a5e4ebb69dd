/** Nodes that train while bits change on their way between them. */
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { expect, it } from "vitest";
import { CorruptingProxy } from "../../support/corrupting-proxy.ts";
import {
  type Doors,
  globalBatch,
  lastTensors,
  TrainingNodes,
  trainTogether,
  until,
} from "../../support/train-together.ts";
import { linesOf, useFolder } from "../../support/training-run.ts";

const folder = useFolder("corruption");

/** A port of loopback that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer();
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  await once(server.close(), "close");
  return port;
}

/** The doors of a node behind proxies. */
async function doorsBehind(control: CorruptingProxy, ring: CorruptingProxy): Promise<Doors> {
  const [port, ringPort] = [await freePort(), await freePort()];
  control.pointAt(`ws://127.0.0.1:${port}`);
  ring.pointAt(`ws://127.0.0.1:${ringPort}`);
  return { port, ringPort, advertise: control.url, advertiseRings: [ring.url] };
}

it("gradients, groups, work and messages that have changed are noticed, and the run is what it would have been", {
  timeout: 300_000,
}, async ({ annotate }) => {
  const config = globalBatch({ train: { steps: 16 } });
  const [whole] = await trainTogether(join(folder, "whole"), config, { world: 2 });
  using control = await CorruptingProxy.open(5);
  using ring = await CorruptingProxy.open(6);
  const nodes = new TrainingNodes(join(folder, "changed"), config, {
    minWorld: 2,
    patience: 10_000,
  });
  const leading = await nodes.add({ doors: await doorsBehind(control, ring) });
  const other = await nodes.add();
  await until(() => leading.view.steps.has(1));
  ring.corrupt({ direction: "from", every: 70_000 });
  control.corrupt({ direction: "to", every: 20_000 });
  await until(() => leading.view.steps.has(8));
  // the work of a step is some 100 KB, and who has sent it damaged twice is left out for half a minute
  control.corrupt({ direction: "from", every: 500_000 });
  await until(() => leading.view.steps.has(14));
  ring.corrupt(undefined);
  control.corrupt(undefined);
  const results = await Promise.all([leading.done, other.done]);
  const again = [leading, other].flatMap(({ view }) =>
    view.warnings.filter((text) => text.includes("is made again")),
  );
  await annotate(
    `${ring.changed} bits in the ring, ${control.changed} beside it; ${again.length} again`,
  );
  expect(ring.changed).toBeGreaterThan(2);
  expect(control.changed).toBeGreaterThan(2);
  expect(again.length).toBeGreaterThan(0);
  for (const [step, hash] of other.hashes)
    expect([step, hash]).toEqual([step, leading.hashes.get(step)]);
  const expected = lastTensors(whole?.result as never);
  for (const result of results) {
    const steps = linesOf(join(result.directory, "metrics.jsonl")).map(({ step }) => step);
    expect(steps).toEqual(Array.from({ length: 16 }, (_, i) => i + 1));
    for (const [name, bytes] of Object.entries(lastTensors(result)))
      expect([name, bytes.equals(expected[name] as Buffer)]).toEqual([name, true]);
  }
});
