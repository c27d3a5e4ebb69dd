/** A node that plays for a cluster and trains nothing: it has weights, and neither gradients nor a say. */
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import {
  askStatus,
  type BlobRef,
  type BlobSource,
  ClusterError,
  type ClusterStatus,
  fetchBlob,
  fetchSmall,
  type NodeClient,
} from "../../../cluster/index.ts";
import { type Device, parametersOf, State } from "../../../engine/index.ts";
import type { LoadedConfig } from "../config/load.ts";
import { determinismOf } from "../determinism.ts";
import { episodeTimeoutOf, openRollout, samplingOf } from "../episode/playing.ts";
import { openPolicy } from "../policy/policy.ts";
import { playedEnvironmentOf } from "../train.ts";
import type { GroupPool } from "./group-pool.ts";
import { type Collecting, HttpJobSource } from "./http-job-source.ts";
import { Player } from "./player.ts";
import { otherPolicy, readManifest } from "./state-manifest.ts";
import { patched } from "./weight-patch.ts";

/** Options of {@link playForCluster}. */
export interface RolloutNodeOptions {
  readonly loaded: LoadedConfig;
  readonly device: Device;
  /** With the token of rollout nodes, or the run's. */
  readonly client: NodeClient;
  /** Any nodes of the cluster. */
  readonly contacts: readonly string[];
  /** Milliseconds without any node that answers, after which it gives up. */
  readonly patience: number;
  readonly signal: AbortSignal;
  /** How groups travel. Default: asked for at the door of whoever leads. */
  readonly pool?: Pick<GroupPool, "source">;
  /** Told of new weights: the steps that they have. */
  readonly onWeights?: (step: number, bytes: number) => void;
}

/** Milliseconds between two questions of how things are. */
const LOOK = 500;

/**
 * Plays until the run is over, or the signal is aborted. Weights are fetched when a group asks for newer ones, once what is being
 * played has ended: an episode is played by one version.
 *
 * Errors    `peer_unreachable` when nobody answers for too long; those of playing; the signal's reason.
 */
export async function playForCluster(options: RolloutNodeOptions): Promise<void> {
  const { loaded, device, signal } = options;
  const { config, directory } = loaded;
  const environment = await playedEnvironmentOf(loaded);
  await using policy = await openPolicy(config.model, {
    device,
    from: directory,
    seed: config.seed,
  });
  const isDeterministic = determinismOf(config, environment).length === 0;
  const rollout = openRollout({ device, config, policy, isDeterministic });
  // weights of its own are nobody's version
  rollout.sampler.policyVersion = -1;
  const parameters = parametersOf(policy.model.transformer);
  const weights = new Weights(device, State.flatten(device, parameters, "parameters"), options);
  const over = new AbortController();
  const until = AbortSignal.any([signal, over.signal]);
  const { groupSize, batch } = config.rollout;
  const player = new Player({
    ...{ environment, groupSize, rollout, seed: config.seed },
    sampling: samplingOf(config, rollout),
    groups: Math.max(1, Math.ceil(batch / groupSize)),
    ...episodeTimeoutOf(rollout, environment, config),
    source:
      options.pool?.source(() => weights.leader) ??
      new HttpJobSource(options.client, () => weights.leader),
    whenVersion: async (version, ended) => {
      while (player.playing > 0) await sleep(LOOK / 10, undefined, { signal: ended });
      rollout.sampler.policyVersion = await weights.fetch(version, ended);
      rollout.sampler.clearCache();
    },
  });
  const watching = weights.watch(until).then(
    () => over.abort(),
    (error: unknown) => over.abort(error),
  );
  try {
    await player.play(until);
    await watching;
    signal.throwIfAborted();
    const { reason } = over.signal;
    if (reason instanceof ClusterError) throw reason;
  } finally {
    over.abort();
    await player.close();
    await rollout.close();
    await environment.close();
  }
}

/** The weights of the cluster, and who has them. */
class Weights {
  readonly #device: Device;
  readonly #flat: State;
  readonly #options: RolloutNodeOptions;
  #status: ClusterStatus | undefined;
  #known: { readonly ref: BlobRef; readonly values: Float32Array } | undefined;

  constructor(device: Device, flat: State, options: RolloutNodeOptions) {
    this.#device = device;
    this.#flat = flat;
    this.#options = options;
  }

  get leader(): Collecting | undefined {
    const { leader = null, addresses = {} } = this.#status ?? {};
    const address = leader === null ? undefined : addresses[leader];
    return leader !== null && address !== undefined ? { node: leader, address } : undefined;
  }

  /** Keeps asking how things are, until the run is over. Errors: `peer_unreachable`. */
  async watch(signal: AbortSignal): Promise<void> {
    let heardAt = performance.now();
    while (!signal.aborted) {
      const error = await this.#look();
      const { step = 0, members = [], epoch = 0 } = this.#status ?? {};
      if (error === undefined) heardAt = performance.now();
      // before the first epoch nobody has begun yet
      if (error === undefined && members.length === 0 && epoch > 0) return;
      // who has made all its steps goes, and nobody is there to say so
      if (error !== undefined && step >= this.#options.loaded.config.train.steps) return;
      if (performance.now() - heardAt > this.#options.patience) throw error;
      await sleep(LOOK, undefined, { signal }).catch(() => {});
    }
  }

  /** Puts weights on the GPU that are at least so new; the steps that they have. Errors: the signal's reason. */
  async fetch(version: number, signal: AbortSignal): Promise<number> {
    for (;;) {
      signal.throwIfAborted();
      try {
        const step = await this.#fetch(signal);
        if (step !== undefined && step >= version) return step;
      } catch (error) {
        if (!(error instanceof ClusterError)) throw error;
      }
      await this.#look();
      await sleep(LOOK / 10, undefined, { signal });
    }
  }

  async #fetch(signal: AbortSignal): Promise<number | undefined> {
    const { client, onWeights } = this.#options;
    const status = this.#status;
    if (!status || status.step < 0 || status.hash === "") return undefined;
    const sources = status.members.flatMap((node): BlobSource[] => {
      const address = status.addresses[node];
      return address === undefined ? [] : [{ node, address }];
    });
    const manifest = readManifest(await fetchSmall(client, status.hash, sources, { signal }));
    const { parameters: ref, patch, step } = manifest;
    const known = this.#known;
    let bytes = ref.size;
    let values: Float32Array | undefined;
    if (known?.ref.hash === ref.hash) return step;
    if (patch && known && patch.base === known.ref.hash) {
      const own = patched(known.values, await fetchBlob(client, patch.blob, sources, { signal }));
      bytes = patch.blob.size;
      if (digestOf(own) === ref.hash) values = own;
    }
    const whole = values ?? floatsOf(await fetchBlob(client, ref, sources, { signal }));
    // behind the policy's parameters are those of a critic
    if (whole.length < this.#flat.size) throw otherPolicy(whole.length, this.#flat.size);
    this.#flat.write(this.#device, whole.subarray(0, this.#flat.size));
    this.#known = { ref, values: whole };
    onWeights?.(step, bytes);
    return step;
  }

  /** Asks the first node that answers; why none does, else. */
  async #look(): Promise<ClusterError | undefined> {
    const { client, contacts } = this.#options;
    let error: ClusterError | undefined;
    const known = Object.values(this.#status?.addresses ?? {});
    for (const address of new Set([
      ...(this.leader ? [this.leader.address] : []),
      ...known,
      ...contacts,
    ])) {
      try {
        this.#status = await askStatus(client, address);
        return undefined;
      } catch (thrown) {
        if (!(thrown instanceof ClusterError)) throw thrown;
        error = thrown;
      }
    }
    return error;
  }
}

function floatsOf(bytes: Uint8Array): Float32Array {
  return new Float32Array(Uint8Array.from(bytes).buffer);
}

function digestOf(values: Float32Array): string {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return createHash("sha256").update(bytes).digest("hex");
}
