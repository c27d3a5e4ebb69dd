/** The state of nodes that meet seldom: the parameters that they met with last, and the velocity of these. */
import type { BlobRef, Cluster, Collectives, Fetch } from "../../../cluster/index.ts";
import type { AdamW } from "../../../engine/index.ts";
import type { DilocoExchange } from "./diloco-exchange.ts";
import { bytesOf, floatsOf } from "./float-bytes.ts";
import { type Held, HeldStates } from "./held-states.ts";
import { type OuterValues, outerStep } from "./outer-optimizer.ts";
import type { SharedReference } from "./shared-reference.ts";
import { type Manifest, manifestOf, otherPolicy, readManifest } from "./state-manifest.ts";
import type { StagedStep, StepState } from "./step-state.ts";
import { checkWay, type Diloco, isMeeting } from "./way.ts";
import { weightPatch } from "./weight-patch.ts";

/** A state with its values on the host. */
interface HeldState extends Held {
  readonly values: OuterValues;
}

/** What {@link DilocoState} is made with. */
export interface DilocoStateOptions {
  readonly cluster: Pick<Cluster, "nodeId" | "blobs" | "fetchBlob">;
  readonly optimizer: AdamW;
  readonly exchange: DilocoExchange;
  readonly way: Diloco;
  readonly reference: SharedReference;
  /** Of the run: nodes meet at its end, so that nothing of it is lost. */
  readonly lastStep: number;
}

/**
 * See the file's head. What nodes have moved since, and their moments, are their own: a step between two meetings changes nothing in
 * the state but its number and what it was about. One that dies takes with it what it has moved in this round; one that comes begins where the others met.
 */
export class DilocoState implements StepState {
  readonly #options: DilocoStateOptions;
  readonly #states: HeldStates<HeldState>;

  constructor(options: DilocoStateOptions) {
    this.#options = options;
    this.#states = new HeldStates(options.cluster.blobs);
  }

  get manifest(): Manifest {
    return this.#states.current.manifest;
  }

  get hash(): string {
    return this.#states.current.ref.hash;
  }

  get isOnePolicy(): boolean {
    const { step } = this.manifest;
    return step === 0 || this.#meetsAt(step);
  }

  async capture(step: number, work: BlobRef | null): Promise<void> {
    const { cluster, exchange } = this.#options;
    await this.#options.reference.capture();
    const values = {
      parameters: await exchange.inner.read(),
      velocity: exchange.outer.velocity,
    };
    this.#states.replace(this.#put({ step, work, members: [cluster.nodeId] }, values));
  }

  /** A node that was there when the others met last keeps what it has moved since. */
  async fetch({ hash, sources }: Fetch, signal: AbortSignal): Promise<void> {
    const { cluster, optimizer, exchange, way } = this.#options;
    const get = (ref: BlobRef): Promise<Uint8Array> => cluster.fetchBlob(ref, sources, { signal });
    const bytes = await cluster.fetchBlob({ hash, size: undefined }, sources, { signal });
    const manifest = readManifest(bytes);
    checkWay(manifest.sync, way);
    const { size } = optimizer.flat.flat;
    const count = manifest.parameters.size / 4;
    if (count !== size) throw otherPolicy(count, size);
    const before = this.#states.held?.manifest;
    const isSameRound = before?.parameters.hash === manifest.parameters.hash;
    const parameters = await get(manifest.parameters);
    const velocity = await get(manifest.moments[0] as BlobRef);
    const work = manifest.work && (await get(manifest.work));
    await this.#options.reference.fetch(manifest.reference, sources, signal);
    signal.throwIfAborted();
    const ref = cluster.blobs.put(bytes);
    const blobs = [
      ...[ref, cluster.blobs.put(parameters)],
      cluster.blobs.put(velocity, { readers: "trainers" }),
      ...(work ? [cluster.blobs.put(work)] : []),
    ];
    const values = { parameters: floatsOf(parameters), velocity: floatsOf(velocity) };
    this.#states.replace({ manifest, ref, blobs, values });
    exchange.outer.velocity = values.velocity;
    if (isSameRound) return exchange.inner.count(manifest.updates);
    // what was owed is owed to another state
    exchange.forget();
    exchange.inner.adopt(values.parameters, manifest.updates);
  }

  async enter(): Promise<void> {
    this.#options.exchange.inner.keep();
  }

  async stage(_ring: Collectives, staged: StagedStep): Promise<string> {
    const { exchange, way } = this.#options;
    const { values } = this.#states.current;
    const gradient = this.#meetsAt(staged.step)
      ? await exchange.outerGradient(values.parameters)
      : undefined;
    const state = this.#put(staged, gradient ? outerStep(values, gradient, way) : values);
    this.#states.stage(state);
    return state.ref.hash;
  }

  commit(): void {
    const { exchange } = this.#options;
    const before = this.#states.current.values;
    this.#states.commit();
    const { values, manifest } = this.#states.current;
    exchange.outer.velocity = values.velocity;
    exchange.inner.forget();
    if (values !== before) exchange.inner.adopt(values.parameters, manifest.updates);
  }

  rollback(): void {
    this.#states.rollback();
    this.#options.exchange.inner.restore();
  }

  /** The parameters that all agree on, in the place of this node's. */
  async present(): Promise<boolean> {
    const { optimizer, exchange } = this.#options;
    if (exchange.inner.updates === 0) return false;
    exchange.inner.keep();
    optimizer.flat.flat.write(optimizer.flat.device, this.#states.current.values.parameters);
    return true;
  }

  [Symbol.dispose](): void {
    this.#options.exchange.inner[Symbol.dispose]();
  }

  #meetsAt(step: number): boolean {
    return isMeeting(this.#options.way, step, this.#options.lastStep);
  }

  #put({ step, members, work }: StagedStep, values: OuterValues): HeldState {
    const { cluster, optimizer } = this.#options;
    const { every, outerLr, outerMomentum } = this.#options.way;
    const { blobs } = cluster;
    const before = this.#states.held;
    const isSame = before?.values === values;
    const known = before && [before.manifest.parameters, before.manifest.moments[0] as BlobRef];
    const [parameters, velocity] =
      isSame && known
        ? known
        : [
            blobs.put(bytesOf(values.parameters)),
            blobs.put(bytesOf(values.velocity), { readers: "trainers" }),
          ];
    const own = [parameters, velocity] as BlobRef[];
    if (isSame) for (const { hash } of own) blobs.hold(hash);
    const patch =
      before && !isSame ? weightPatch(before.values.parameters, values.parameters) : undefined;
    const sparse = patch && blobs.put(patch);
    if (sparse) own.push(sparse);
    if (work && blobs.hold(work.hash)) own.push(work);
    const manifest: Manifest = {
      ...{ format: 1, step, work, members: [...members] },
      // in this order: it is text that is hashed
      sync: { every, outerLr, outerMomentum },
      ...{ updates: optimizer.flat.stepCount, momentsSince: 0 },
      parameters: parameters as BlobRef,
      patch: sparse && before ? { base: before.manifest.parameters.hash, blob: sparse } : null,
      moments: [velocity as BlobRef],
      reference: this.#options.reference.ref,
    };
    const ref = blobs.put(manifestOf(manifest));
    return { manifest, ref, values, blobs: [ref, ...own] };
  }
}
