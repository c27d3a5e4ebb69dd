/** Where Prometheus reads the metrics of a node. */
import { Hono } from "hono";
import type { Cluster } from "../../cluster/index.ts";
import { ForgeError } from "../../engine/index.ts";
import { guard } from "../page-server/guard.ts";
import { type Listening, listening } from "../page-server/listening.ts";
import {
  exposition,
  type Gauge,
  type LastMetrics,
  PROMETHEUS_TYPE,
} from "../train/run/prometheus.ts";
import type { Place } from "./launch/rule.ts";

/** Serves `/metrics` until it is disposed. Errors: `config_invalid` for a place that cannot be listened at. */
export async function openMetricsDoor(
  { host, port }: Place,
  metrics: LastMetrics,
  cluster: Cluster,
): Promise<Listening> {
  const app = new Hono().use(guard(host)).get("/metrics", (context) => {
    const gauges = [...gaugesOf(cluster), ...metrics.gauges];
    return context.body(exposition(gauges), 200, { "Content-Type": PROMETHEUS_TYPE });
  });
  try {
    return await listening(app, { host, port, usualPort: port });
  } catch (cause) {
    throw new ForgeError({
      code: "config_invalid",
      what: "the metrics cannot be served there.",
      got: `${host}:${port}: ${cause instanceof Error ? cause.message : String(cause)}`,
      fix: "give --metrics another port or interface, or leave it out",
      cause,
    });
  }
}

/** What the node knows of its cluster now. */
function gaugesOf({ record, isLeading, traffic }: Cluster): Gauge[] {
  const gauge = (name: string, value: number, help: string): Gauge => ({
    ...{ name: `node/${name}`, value, help },
  });
  return [
    gauge("members", record.members.length, "trainers of the cluster, as far as this node knows"),
    gauge("epoch", record.epoch, "how often the members have changed"),
    gauge("committed_step", record.step, "the last step that all have made"),
    gauge("is_leading", isLeading ? 1 : 0, "whether this node leads"),
    gauge("ring_sent_bytes", traffic.bytes, "bytes sent in the ring so far"),
    gauge("ring_seconds", traffic.ms / 1000, "time that sums have taken so far, in seconds"),
  ];
}
