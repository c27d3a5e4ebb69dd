/** Fetches a blob from several nodes at once, and believes none of them. */
import { createHash } from "node:crypto";
import { ClusterError } from "../error.ts";
import type { NodeId } from "../membership/record.ts";
import type { NodeClient } from "../transport/node-client.ts";
import type { BlobRef } from "./blob-store.ts";
import type { ByteRange } from "./byte-range.ts";
import { RangeQueue } from "./range-queue.ts";

/** A node that may have the blob. */
export interface BlobSource {
  readonly node: NodeId;
  readonly address: string;
}

/** How it is fetched. */
export interface FetchBlobOptions {
  /** Bytes that are asked for at once. Default 4 MiB; less towards the end. */
  readonly rangeBytes?: number;
  readonly signal?: AbortSignal;
  /** Where it goes; as long as the blob. Default: a new array. */
  readonly into?: Uint8Array;
  readonly onProgress?: (done: number, total: number) => void;
  /** Told of each source that has sent other bytes than the blob's. */
  readonly onLiar?: (node: NodeId) => void;
}

/** What a source has sent. */
interface Part extends ByteRange {
  readonly node: NodeId;
}

const RANGE_BYTES = 2 ** 22;

const ALL: ByteRange = { from: 0, to: Number.POSITIVE_INFINITY };

/** The hash of no bytes. */
const NOTHING = createHash("sha256").digest("hex");

/** Bytes that are hashed between two turns of the event loop. */
const HASHED_AT_ONCE = 2 ** 23;

/**
 * The bytes of a blob. Each source has one range to send at a time, so that the faster send more; one that fails, stalls, does not
 * have it or says that it is of another size is asked for no more, and its range goes to others. Should the whole not be what its
 * hash says, the sources are asked for all of it one after the other, and what each had sent before is compared.
 *
 * Errors    `argument_invalid`; `peer_unreachable`: the sources, all together, do not have it, or it was given up;
 *           `peer_invalid`: one has sent other bytes, which is then the suspect, and no other has sent the right ones.
 */
export async function fetchBlob(
  client: NodeClient,
  ref: BlobRef,
  sources: readonly BlobSource[],
  options: FetchBlobOptions = {},
): Promise<Uint8Array> {
  return new BlobFetch(client, ref, sources, options).bytes();
}

class BlobFetch {
  readonly #client: NodeClient;
  readonly #ref: BlobRef;
  readonly #sources: readonly BlobSource[];
  readonly #options: FetchBlobOptions;
  readonly #rangeBytes: number;
  readonly #into: Uint8Array;
  /** Why sources are asked no more. */
  readonly #reasons = new Map<NodeId, string>();

  constructor(
    client: NodeClient,
    ref: BlobRef,
    sources: readonly BlobSource[],
    options: FetchBlobOptions,
  ) {
    this.#client = client;
    this.#ref = ref;
    this.#sources = sources;
    this.#options = options;
    this.#rangeBytes = options.rangeBytes ?? RANGE_BYTES;
    checkArguments(ref, this.#rangeBytes, options.into);
    this.#into = options.into ?? new Uint8Array(ref.size);
  }

  async bytes(): Promise<Uint8Array> {
    const parts = await this.#gather(this.#sources);
    if (!parts) throw this.#nobodyHasIt();
    if ((await this.#hashOf(ALL)) !== this.#ref.hash) await this.#gatherAgain(parts);
    return this.#into;
  }

  /** All of it, from whichever source; undefined when none is left that could send what is missing. */
  async #gather(sources: readonly BlobSource[]): Promise<readonly Part[] | undefined> {
    const queue = new RangeQueue(this.#ref.size, this.#rangeBytes, sources.length);
    const parts: Part[] = [];
    while (!queue.isEmpty) {
      const able = sources.filter(({ node }) => !this.#reasons.has(node));
      if (able.length === 0) return undefined;
      await Promise.all(able.map((source) => this.#take(source, queue, parts)));
    }
    return parts;
  }

  /** Range after range from one source, until there are no more, or it fails. */
  async #take(source: BlobSource, queue: RangeQueue, parts: Part[]): Promise<void> {
    const { node } = source;
    for (let range = queue.take(); range; range = queue.take()) {
      const reason = await this.#fetch(source, range);
      if (reason !== undefined) {
        queue.giveBack(range);
        this.#reasons.set(node, reason);
        return;
      }
      parts.push({ ...range, node });
      const done = parts.reduce((sum, { from, to }) => sum + to - from, 0);
      this.#options.onProgress?.(done, this.#ref.size);
    }
  }

  /** Fetches a range to its place; why not, if that fails. */
  async #fetch({ node, address }: BlobSource, range: ByteRange): Promise<string | undefined> {
    const { hash, size } = this.#ref;
    const { signal } = this.#options;
    try {
      const { status, headers, body } = await this.#client.ask(address, {
        ...{ method: "GET", path: `/blobs/${hash}`, peer: node, range },
        into: this.#into.subarray(range.from, range.to),
        ...(signal && { signal }),
      });
      const isRange = headers["content-range"] === `bytes ${range.from}-${range.to - 1}/${size}`;
      if (status !== 206) return `status ${status}`;
      return isRange && body.length === range.to - range.from ? undefined : "another size";
    } catch (error) {
      if (error instanceof ClusterError) return error.code;
      throw error;
    }
  }

  /**
   * Somebody has lied. All of it from one source after the other, until the whole is right: then what was sent before, which is
   * known by its hashes, was right or wrong.
   */
  async #gatherAgain(parts: readonly Part[]): Promise<void> {
    const hashes: string[] = [];
    for (const part of parts) hashes.push(await this.#hashOf(part));
    const senders = new Set(parts.map(({ node }) => node));
    // who has sent all of it is asked no more
    const liars = new Set(senders.size === 1 ? senders : []);
    let isRight = false;
    for (const source of this.#sources) {
      if (liars.has(source.node) || !(await this.#gather([source]))) continue;
      isRight = (await this.#hashOf(ALL)) === this.#ref.hash;
      if (isRight) break;
      liars.add(source.node);
    }
    for (const [i, part] of parts.entries()) {
      if (isRight && (await this.#hashOf(part)) !== hashes[i]) liars.add(part.node);
    }
    for (const node of liars) this.#options.onLiar?.(node);
    if (!isRight) throw this.#nobodyHasIt([...liars]);
  }

  /** Of a range of what there is; meanwhile the event loop goes on. */
  async #hashOf({ from, to }: ByteRange): Promise<string> {
    const hash = createHash("sha256");
    const end = Math.min(to, this.#into.length);
    for (let at = from; at < end; at += HASHED_AT_ONCE) {
      hash.update(this.#into.subarray(at, Math.min(at + HASHED_AT_ONCE, end)));
      await new Promise((resolve) => setImmediate(resolve));
    }
    return hash.digest("hex");
  }

  #nobodyHasIt(liars: readonly NodeId[] = []): ClusterError {
    const [suspect] = liars;
    const reasons = this.#sources.map(({ node }) => {
      const reason = liars.includes(node) ? "other bytes" : this.#reasons.get(node);
      return `${node}: ${reason ?? "not asked"}`;
    });
    return new ClusterError({
      code: suspect === undefined ? "peer_unreachable" : "peer_invalid",
      what: "no node has sent the bytes that were asked for.",
      got: `${this.#ref.hash.slice(0, 16)}…, ${this.#ref.size} bytes; ${reasons.join(", ") || "no sources"}`,
      fix: "ask again, or other nodes",
      ...(suspect !== undefined && { suspect }),
    });
  }
}

function checkArguments({ hash, size }: BlobRef, rangeBytes: number, into?: Uint8Array): void {
  const isRef = /^[0-9a-f]{64}$/.test(hash) && Number.isSafeInteger(size) && size >= 0;
  const isPossible = size !== 0 || hash === NOTHING;
  const hasRoom = into === undefined || into.length === size;
  if (isRef && isPossible && hasRoom && Number.isSafeInteger(rangeBytes) && rangeBytes > 0) return;
  throw new ClusterError({
    code: "argument_invalid",
    what: "this blob cannot be fetched.",
    got: `${JSON.stringify(hash).slice(0, 80)}, ${size} bytes, into ${into?.length ?? size}, ${rangeBytes} at once`,
    why: "a hash is SHA-256 in hex, there is room for exactly its bytes, and at least one is fetched at once",
    fix: "give the reference that the store has returned",
  });
}
