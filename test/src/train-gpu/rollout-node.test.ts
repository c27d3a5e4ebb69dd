/** A node that only plays, beside one that trains: real doors, one device. */
import { expect, it } from "vitest";
import { Cluster, NodeClient, Token } from "../../../cluster/index.ts";
import { PoolDoor } from "../../../src/train/cluster/pool-door.ts";
import { playForCluster } from "../../../src/train/cluster/rollout-node.ts";
import { parseConfig } from "../../../src/train/config/parse.ts";
import type { TrainConfigInput } from "../../../src/train/config/types.ts";
import type { Metrics } from "../../../src/train/run/metrics.ts";
import { train } from "../../../src/train/train.ts";
import { device } from "../../support/gpu.ts";
import { NotedView, trainHere } from "../../support/train-here.ts";
import { tinyConfig, useFolder } from "../../support/training-run.ts";

const STEPS = 12;
const runId = "0e".repeat(16);

/** What one node and many say alike. */
const COMMON = ["losses/loss", "losses/grad_norm", "losses/entropy", "reward/mean"] as const;

const folder = useFolder("rollout-node");

const input: TrainConfigInput = tinyConfig({
  train: { steps: STEPS, warmStart: { steps: 5, batch: 4 } },
  rollout: { groupSize: 4, groupsPerStep: 4, slots: 4, batch: 16 },
  // time is each node's own
  reward: { truncated: "score", speed: 0 },
  eval: { every: 0 },
  checkpoint: { every: 0 },
});

it("plays by the weights of each version, and the steps are those of a node that is alone", async () => {
  const alone = new NotedView();
  await trainHere(`${folder}/alone`, input, { view: alone });

  const token = Token.create();
  const door = new PoolDoor();
  await using cluster = await Cluster.open({
    ...{ nodeId: "trainer", runId, token, routes: door.routes, progressMs: 60_000 },
    membership: { lostAfter: 60_000 },
  });
  const config = parseConfig({ ...input, run: { directory: `${folder}/together` } });
  const loaded = { config, file: "", directory: folder, warnings: [] };
  const view = new NotedView();
  const gpu = await device();
  const weights: number[] = [];
  const played = new Map<string, number>();
  using client = new NodeClient({ nodeId: "r", runId, token: token.forRollouts, role: "rollout" });
  const common = { loaded, device: gpu };
  // the player is there before the first group is
  const playing = playForCluster({
    ...{ ...common, client, contacts: [cluster.address], patience: 60_000 },
    signal: new AbortController().signal,
    onWeights: (step) => weights.push(step),
  });
  view.onPhase = () => {
    for (const player of door.board?.stats.players ?? []) played.set(player.name, player.played);
  };
  await train({
    ...{ ...common, view, version: "0.0.0" },
    cluster: { cluster, door, sync: "zero1", wire: "f32", onEvent: (text) => view.warn(text) },
  });
  await cluster.finish();
  await playing;

  expect(played.get("r")).toBeGreaterThan(0);
  // versions rise, and none is fetched twice
  expect(weights.length).toBeGreaterThan(0);
  expect(weights).toEqual([...new Set(weights)].sort((a, b) => a - b));
  for (let step = 1; step <= STEPS; step++) {
    const [one, other] = [alone.steps.get(step), view.steps.get(step)] as [Metrics, Metrics];
    for (const name of COMMON) {
      const [a, b] = [one[name] as number, other[name] as number];
      expect(Math.abs(b - a), `${name} of step ${step}`).toBeLessThan(1e-5 * Math.abs(a));
    }
  }
});
