/** The policy that a divergence is measured from, where only the node that began the cluster could make it. */
import type { BlobRef, Cluster, NodeId } from "../../../cluster/index.ts";
import { type CausalLM, type Device, parametersOf, type State } from "../../../engine/index.ts";
import { bytesOf, floatsOf } from "./float-bytes.ts";
import { otherPolicy } from "./state-manifest.ts";

/**
 * See the file's head: after a warm start it is what came of that. It is a blob of the state, its parameters one behind the other,
 * f32, and stays what it is.
 */
export class SharedReference {
  readonly #cluster: Cluster;
  readonly #device: Device;
  readonly #model: CausalLM | undefined;
  #ref: BlobRef | null = null;

  /** @param model none where there is no reference, or each node can make it by itself */
  constructor(cluster: Cluster, device: Device, model: CausalLM | undefined) {
    this.#cluster = cluster;
    this.#device = device;
    this.#model = model;
  }

  /** For the manifest. */
  get ref(): BlobRef | null {
    return this.#ref;
  }

  /** Makes this node's that of all. */
  async capture(): Promise<void> {
    if (!this.#model) return;
    const all: Uint8Array[] = [];
    for (const state of this.#parameters) all.push(bytesOf((await state.read()) as Float32Array));
    this.#keep(Buffer.concat(all));
  }

  /** Has the one that a state names. Errors: `config_invalid` for that of another policy; those of fetching. */
  async fetch(ref: BlobRef | null, sources: readonly NodeId[], signal: AbortSignal): Promise<void> {
    const count = this.#parameters.reduce((sum, { size }) => sum + size, 0);
    const theirs = (ref?.size ?? 0) / 4;
    if (theirs !== count) throw otherPolicy(theirs, count);
    if (ref === null || ref.hash === this.#ref?.hash) return;
    const bytes = await this.#cluster.fetchBlob(ref, sources, { signal });
    signal.throwIfAborted();
    const values = floatsOf(bytes);
    let at = 0;
    for (const state of this.#parameters) {
      state.write(this.#device, values.subarray(at, at + state.size));
      at += state.size;
    }
    this.#keep(bytes);
  }

  get #parameters(): readonly State[] {
    return this.#model ? parametersOf(this.#model.transformer) : [];
  }

  #keep(bytes: Uint8Array): void {
    if (this.#ref) this.#cluster.blobs.delete(this.#ref.hash);
    this.#ref = this.#cluster.blobs.put(bytes);
  }
}
