/** Where the jobs of a run and what is made of them lie on a server of NATS. */
import type { ConsumerConfig, StreamConfig } from "@nats-io/jetstream";
import { type NatsLink, refusalOf } from "./connection.ts";

/** The names of a run. The last two are plain subjects, of which nothing is kept. */
export interface RunNames {
  readonly jobs: { readonly stream: string; readonly subject: string; readonly consumer: string };
  readonly results: RunNames["jobs"];
  /** What players say of themselves. */
  readonly players: string;
  /** Groups that nobody is to play any more. */
  readonly cancelled: string;
}

/** How much a run's streams hold; see {@link makeStreams}. */
export interface StreamLimits {
  /** Bytes of results that no committed step has used yet. */
  readonly resultBytes: number;
  /** Milliseconds after which a message that nobody has acknowledged, or is at work on, is handed out again. */
  readonly ackWait: number;
  readonly replicas: number;
}

/** Nanoseconds of a millisecond. */
const NANOS = 1_000_000;
/** Jobs at most, and their bytes. They are small. */
const [MOST_JOBS, MOST_JOB_BYTES] = [65_536, 2 ** 24];
/** Milliseconds within which a message that is published again is known. */
const KNOWN = 600_000;
/** The server's numbers: a stream, or a consumer, is there and otherwise. */
const [OTHER_STREAM, OTHER_CONSUMER, NAME_IN_USE] = [10058, 10105, 10013];
const NO_STREAM = 10059;

/** See {@link RunNames}. */
export function namesOf(runId: string): RunNames {
  const place = (what: string, consumer: string): RunNames["jobs"] => ({
    stream: `forge-${runId}-${what}`,
    subject: `forge.${runId}.${what}`,
    consumer,
  });
  return {
    jobs: place("jobs", "players"),
    results: place("results", "leader"),
    players: `forge.${runId}.players`,
    cancelled: `forge.${runId}.cancelled`,
  };
}

/**
 * Makes a run's two work queues, or gives those that are there these limits. What is full takes nothing more, and loses nothing.
 *
 * Errors    those of `NatsLink.ask`: `nats_refused` where the server has no room for `resultBytes`.
 */
export async function makeStreams(
  link: NatsLink,
  { jobs, results }: RunNames,
  { resultBytes, ackWait, replicas }: StreamLimits,
): Promise<void> {
  const { AckPolicy, DiscardPolicy, RetentionPolicy, StorageType } = link.sdk.jetstream;
  const queue = ({ stream, subject }: RunNames["jobs"], limits: Partial<StreamConfig>) => ({
    ...{ name: stream, subjects: [subject], num_replicas: replicas, ...limits },
    ...{ retention: RetentionPolicy.Workqueue, discard: DiscardPolicy.New },
    ...{ storage: StorageType.File, duplicate_window: KNOWN * NANOS },
  });
  await makeStream(link, queue(jobs, { max_msgs: MOST_JOBS, max_bytes: MOST_JOB_BYTES }));
  await makeStream(link, queue(results, { max_bytes: resultBytes }));
  for (const { stream, consumer } of [jobs, results]) {
    await makeConsumer(link, stream, {
      ...{ durable_name: consumer, ack_policy: AckPolicy.Explicit, ack_wait: ackWait * NANOS },
      ...{ max_deliver: -1, max_ack_pending: -1 },
    });
  }
}

/** Deletes all that a run has left there. Errors: those of `NatsLink.ask`. */
export async function deleteStreams(link: NatsLink, { jobs, results }: RunNames): Promise<void> {
  for (const { stream } of [jobs, results]) {
    try {
      await link.ask(() => link.manager.streams.delete(stream));
    } catch (error) {
      if (refusalOf(error) !== NO_STREAM) throw error;
    }
  }
}

/** Milliseconds of a consumer's configuration. */
export function ackWaitOf({ ack_wait }: ConsumerConfig): number {
  return (ack_wait ?? 0) / NANOS;
}

async function makeStream(
  link: NatsLink,
  config: Partial<StreamConfig> & { name: string },
): Promise<void> {
  const { streams } = link.manager;
  try {
    await link.ask(() => streams.add(config));
  } catch (error) {
    if (refusalOf(error) !== OTHER_STREAM) throw error;
    await link.ask(() => streams.update(config.name, config));
  }
}

async function makeConsumer(
  link: NatsLink,
  stream: string,
  config: Partial<ConsumerConfig> & { durable_name: string },
): Promise<void> {
  const { consumers } = link.manager;
  try {
    await link.ask(() => consumers.add(stream, config));
  } catch (error) {
    const code = refusalOf(error);
    if (code !== OTHER_CONSUMER && code !== NAME_IN_USE) throw error;
    await link.ask(() => consumers.update(stream, config.durable_name, config));
  }
}
