/** The state that all nodes of a cluster have: parameters whole, and the optimizer's moments segment by segment. */
import { createHash } from "node:crypto";
import type {
  BlobRef,
  Cluster,
  Collectives,
  ElementRange,
  Fetch,
  NodeId,
} from "../../../cluster/index.ts";
import type { AdamW } from "../../../engine/index.ts";
import { bytesOf, floatsOf } from "./float-bytes.ts";
import { type Held, HeldStates } from "./held-states.ts";
import type { RingExchange, Sync } from "./ring-exchange.ts";
import type { SharedReference } from "./shared-reference.ts";
import { type Manifest, manifestOf, otherPolicy, readManifest } from "./state-manifest.ts";
import type { StagedStep, StepState } from "./step-state.ts";
import { checkWay } from "./way.ts";
import { weightPatch } from "./weight-patch.ts";

/** Two bytes of a digest, as a value that sums keep whole. */
const DIGITS = 16;

/** Attempts at a step after which moments that nobody sends are given up. */
const MOST_TRIES = 5;

/** Moments of a range of the flat parameters: m, then u. */
interface Moments {
  readonly range: ElementRange;
  readonly bytes: Uint8Array;
}

/** A state with all that this node has of it on the host. */
interface HeldState extends Held {
  readonly parameters: Float32Array;
  readonly moments: Moments;
}

/** What {@link SharedState} is made with. */
export interface SharedStateOptions {
  readonly cluster: Cluster;
  readonly exchange: RingExchange;
  readonly optimizer: AdamW;
  readonly reference: SharedReference;
  /** Told of what was lost with nodes that are gone. */
  readonly onLoss: (text: string) => void;
}

/**
 * See the file's head.
 *
 * A node has the moments of its own segment, and a copy of those that its predecessor owns, so that no death loses any; where both die
 * at once they begin at 0 again, and people are told.
 */
export class SharedState implements StepState {
  readonly isOnePolicy = true;
  readonly #options: SharedStateOptions;
  readonly #states: HeldStates<HeldState>;
  /** Fetches that have failed, by hash. */
  readonly #tries = new Map<string, number>();
  /** Whose moments are on the GPU. */
  #onDevice: ElementRange | undefined;

  constructor(options: SharedStateOptions) {
    this.#options = options;
    this.#states = new HeldStates(options.cluster.blobs);
  }

  get manifest(): Manifest {
    return this.#states.current.manifest;
  }

  get hash(): string {
    return this.#states.current.ref.hash;
  }

  async capture(step: number, work: BlobRef | null): Promise<void> {
    const { cluster, optimizer } = this.#options;
    const parameters = (await optimizer.flat.flat.read()) as Float32Array;
    const range = { from: 0, to: parameters.length };
    const moments = await this.#readMoments(range);
    await this.#options.reference.capture();
    const about = { step, work, members: [cluster.nodeId], parameters };
    this.#states.replace(this.#put(about, moments, [digestOf(moments.bytes)]));
    this.#onDevice = range;
  }

  /** All of it but the moments. */
  async fetch({ hash, sources }: Fetch, signal: AbortSignal): Promise<void> {
    const { cluster, optimizer, exchange } = this.#options;
    const bytes = await cluster.fetchBlob({ hash, size: undefined }, sources, { signal });
    const manifest = readManifest(bytes);
    checkWay(manifest.sync, exchange.sync);
    const { size } = optimizer.flat.flat;
    const count = manifest.parameters.size / 4;
    if (count !== size) throw otherPolicy(count, size);
    const parameters = await cluster.fetchBlob(manifest.parameters, sources, { signal });
    const work = manifest.work && (await cluster.fetchBlob(manifest.work, sources, { signal }));
    await this.#options.reference.fetch(manifest.reference, sources, signal);
    signal.throwIfAborted();
    const blobs = [bytes, parameters, ...(work ? [work] : [])].map((b) => cluster.blobs.put(b));
    // what was owed is owed to another state
    exchange.forget();
    this.#states.replace({
      ...{ manifest, blobs, ref: blobs[0] as BlobRef },
      parameters: floatsOf(parameters),
      moments: { range: { from: 0, to: 0 }, bytes: new Uint8Array() },
    });
    this.#restore();
  }

  /** Has the moments of the segment that is this node's in a ring, from whoever has them. */
  async enter(ring: Collectives, members: readonly NodeId[], signal: AbortSignal): Promise<void> {
    const { exchange } = this.#options;
    const range = exchange.rangeOf(ring.rank, ring.world);
    if (range.from === this.#onDevice?.from && range.to === this.#onDevice.to) return;
    const moments = await this.#momentsOf(range, members, signal);
    this.#states.amend({ ...this.#states.current, moments });
    this.#writeMoments(moments);
  }

  async stage(
    ring: Collectives,
    { step, members, work }: StagedStep,
    signal: AbortSignal,
  ): Promise<string> {
    const { cluster, exchange } = this.#options;
    const { current } = this.#states;
    const parameters = exchange.parameters ?? current.parameters;
    const range = exchange.rangeOf(ring.rank, ring.world);
    const moments = exchange.parameters ? await this.#readMoments(range) : current.moments;
    const { blobs } = cluster;
    // whoever has all digests may ask for it at once
    const own = blobs.put(moments.bytes, { readers: "trainers" });
    try {
      const digests =
        exchange.sync === "zero1" ? await gatherDigests(ring, own.hash, signal) : [own.hash];
      const staged = this.#put({ step, work, members, parameters }, moments, digests);
      this.#states.stage(staged);
      await this.#mirror(staged, signal);
      return staged.ref.hash;
    } finally {
      blobs.delete(own.hash);
    }
  }

  commit(): void {
    this.#states.commit();
    this.#tries.clear();
  }

  rollback(): void {
    this.#states.rollback();
    this.#restore();
  }

  /** All moments. */
  async gather(signal: AbortSignal): Promise<void> {
    const { members } = this.manifest;
    const all = { from: 0, to: this.#states.current.parameters.length };
    this.#writeMoments(await this.#momentsOf(all, members, signal));
    // beyond its own they are not kept up to date
    this.#onDevice = undefined;
  }

  #put(
    state: Pick<Manifest, "step" | "work"> & {
      readonly members: readonly NodeId[];
      readonly parameters: Float32Array;
    },
    moments: Moments,
    digests: readonly string[],
  ): HeldState {
    const { cluster, exchange, optimizer } = this.#options;
    const { parameters, members, step, work } = state;
    const blobs = [
      cluster.blobs.put(bytesOf(parameters)),
      cluster.blobs.put(moments.bytes, { readers: "trainers" }),
    ];
    const before = this.#states.held;
    const patch = before && weightPatch(before.parameters, parameters);
    const { length } = parameters;
    const sparse = patch && cluster.blobs.put(patch);
    const manifest: Manifest = {
      ...{ format: 1, step, work, members: [...members], sync: exchange.sync },
      updates: optimizer.flat.stepCount,
      momentsSince: optimizer.flat.momentsSince,
      reference: this.#options.reference.ref,
      parameters: blobs[0] as BlobRef,
      patch: sparse && before ? { base: before.manifest.parameters.hash, blob: sparse } : null,
      moments: digests.map((hash, segment) => {
        const world = digests.length;
        const { from, to } = exchange.rangeOf((segment + world - 1) % world, world);
        return { hash, size: 8 * (exchange.sync === "ddp" ? length : to - from) };
      }),
    };
    const ref = cluster.blobs.put(manifestOf(manifest));
    if (work && cluster.blobs.hold(work.hash)) blobs.push(work);
    if (sparse) blobs.push(sparse);
    return { manifest, ref, parameters, moments, blobs: [ref, ...blobs] };
  }

  /**
   * Has a copy of the moments that the predecessor owns, before the step counts: whoever dies after that, they are there.
   */
  async #mirror(staged: HeldState, signal: AbortSignal): Promise<void> {
    const { cluster, exchange } = this.#options;
    const { members, moments } = staged.manifest;
    const rank = members.indexOf(cluster.nodeId);
    if (exchange.sync === "ddp" || members.length < 2) return;
    const owner = members[(rank + members.length - 1) % members.length] as NodeId;
    const bytes = await cluster.fetchBlob(moments[rank] as BlobRef, [owner], { signal });
    const copy = cluster.blobs.put(bytes, { readers: "trainers" });
    this.#states.stage({ ...staged, blobs: [...staged.blobs, copy] });
  }

  /** Those that the optimizer has: it owns the range. */
  async #readMoments(range: ElementRange): Promise<Moments> {
    const { m, u, flat } = this.#options.optimizer;
    const length = range.to - range.from;
    const all = new Float32Array(2 * length);
    const parts = await Promise.all([m, u].map((state) => state.readPart(flat.device, 0, length)));
    for (const [i, part] of parts.entries()) all.set(part as Float32Array, i * length);
    return { range, bytes: bytesOf(all) };
  }

  /** The optimizer has room for these, and for no others. */
  #writeMoments({ range, bytes }: Moments): void {
    const { optimizer } = this.#options;
    const length = range.to - range.from;
    const all = floatsOf(bytes);
    optimizer.own(range);
    optimizer.m.write(optimizer.flat.device, all.subarray(0, length));
    optimizer.u.write(optimizer.flat.device, all.subarray(length));
    this.#onDevice = range;
  }

  /** The moments of a range, put together from the segments of the state. What nobody has any more is 0, and said. */
  async #momentsOf(
    range: ElementRange,
    there: readonly NodeId[],
    signal: AbortSignal,
  ): Promise<Moments> {
    const { exchange, onLoss } = this.#options;
    const { members, moments } = this.manifest;
    const { sync } = exchange;
    const world = sync === "ddp" ? 1 : members.length;
    const length = range.to - range.from;
    const all = new Float32Array(2 * length);
    for (const [segment, ref] of moments.entries()) {
      const whole = exchange.rangeOf((segment + world - 1) % world, world);
      const [from, to] = [Math.max(range.from, whole.from), Math.min(range.to, whole.to)];
      if (from >= to) continue;
      const holders = holdersOf(members, segment, sync);
      const bytes = await this.#fetchMoments(ref, holders, there, signal);
      if (!bytes) {
        onLoss(
          `the moments of ${to - from} parameters are lost with ${holders.join(" and ")}: they begin at 0 again`,
        );
        continue;
      }
      const own = floatsOf(bytes);
      const size = whole.to - whole.from;
      for (const part of [0, 1]) {
        const piece = own.subarray(part * size + from - whole.from, part * size + to - whole.from);
        all.set(piece, part * length + from - range.from);
      }
    }
    return { range, bytes: bytesOf(all) };
  }

  /** Undefined when none of the holders is there any more. */
  async #fetchMoments(
    ref: BlobRef,
    holders: readonly NodeId[],
    there: readonly NodeId[],
    signal: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    const { cluster } = this.#options;
    const own = cluster.blobs.get(ref.hash);
    if (own) return own;
    try {
      return await cluster.fetchBlob(ref, holders, { signal });
    } catch (error) {
      signal.throwIfAborted();
      const tries = (this.#tries.get(ref.hash) ?? 0) + 1;
      this.#tries.set(ref.hash, tries);
      // who is there can be asked again at the next attempt
      if (holders.some((holder) => there.includes(holder)) && tries < MOST_TRIES) throw error;
      return undefined;
    }
  }

  #restore(): void {
    const { optimizer } = this.#options;
    const { parameters, moments, manifest } = this.#states.current;
    optimizer.flat.flat.write(optimizer.flat.device, parameters);
    optimizer.flat.stepCount = manifest.updates;
    optimizer.flat.momentsSince = manifest.momentsSince;
    this.#writeMoments(moments);
  }
}

/** The owner of a segment, and who has its copy. */
function holdersOf(members: readonly NodeId[], segment: number, sync: Sync): readonly NodeId[] {
  if (sync === "ddp") return members;
  const world = members.length;
  const holders = [members[(segment + world - 1) % world], members[segment]];
  return [...new Set(holders as NodeId[])];
}

/** The digests of the segments, each of which its owner has. */
async function gatherDigests(
  ring: Collectives,
  own: string,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { rank, world } = ring;
  const values = new Float32Array(DIGITS * world);
  const bytes = Buffer.from(own, "hex");
  const segment = (rank + 1) % world;
  for (let i = 0; i < DIGITS; i++) values[DIGITS * segment + i] = bytes.readUInt16BE(2 * i);
  const all = await ring.sum(values, signal);
  return Array.from({ length: world }, (_, at) => {
    const digest = Buffer.alloc(2 * DIGITS);
    for (let i = 0; i < DIGITS; i++) digest.writeUInt16BE(all[DIGITS * at + i] as number, 2 * i);
    return digest.toString("hex");
  });
}

function digestOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
