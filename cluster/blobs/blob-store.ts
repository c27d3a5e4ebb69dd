/** Bytes by their hashes, for whoever asks for them. */
import { createHash } from "node:crypto";
import type { Role } from "../transport/identity.ts";
import type { Route, RouteAnswer, RouteRequest } from "../transport/route.ts";
import { byteRange } from "./byte-range.ts";

/** What a blob is called: what is fetched under it can be nothing else. */
export interface BlobRef {
  /** SHA-256 in hex. */
  readonly hash: string;
  /** Bytes. */
  readonly size: number;
}

/** Who may read a blob. */
export type Readers = "all" | "trainers";

interface Blob {
  readonly bytes: Uint8Array;
  readers: Readers;
  /** How often it was put or held, less how often it was deleted. */
  count: number;
}

/** See the file's head. All of it is in memory. */
export class BlobStore {
  readonly #blobs = new Map<string, Blob>();
  #bytes = 0;

  /** Of all blobs, each counted once. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Keeps bytes, without a copy: they must not change any more. Put again, they are kept until they are deleted as often; for all
   * readers, once they were put for all.
   */
  put(bytes: Uint8Array, { readers = "all" }: { readonly readers?: Readers } = {}): BlobRef {
    const hash = createHash("sha256").update(bytes).digest("hex");
    const ref = { hash, size: bytes.length };
    const known = this.#blobs.get(hash);
    if (known) {
      known.count++;
      if (readers === "all") known.readers = "all";
      return ref;
    }
    this.#blobs.set(hash, { bytes, readers, count: 1 });
    this.#bytes += bytes.length;
    return ref;
  }

  /** As another {@link put} of bytes that are there, without hashing them again. Whether they are. */
  hold(hash: string): boolean {
    const blob = this.#blobs.get(hash);
    if (blob) blob.count++;
    return blob !== undefined;
  }

  get(hash: string): Uint8Array | undefined {
    return this.#blobs.get(hash)?.bytes;
  }

  /** Whether who has a role may read it, if it is there. */
  isFor(role: Role, hash: string): boolean {
    return role === "trainer" || this.#blobs.get(hash)?.readers !== "trainers";
  }

  /** Takes back one {@link put} or {@link hold}. What is being sent is sent on. Does nothing where there is no such blob. */
  delete(hash: string): void {
    const blob = this.#blobs.get(hash);
    if (!blob || --blob.count > 0) return;
    this.#blobs.delete(hash);
    this.#bytes -= blob.bytes.length;
  }
}

/**
 * GET /blobs/<hash>: a blob, or the range of it that is asked for (RFC 9110, §14; one range). 404 when it is not there, 403 when it
 * is not for who asks, 416 for a range that is none of it.
 */
export function blobRoute(store: BlobStore): Route {
  return {
    ...{ method: "GET", path: "/blobs/", roles: ["trainer", "rollout"] },
    answer: async (request) => answerOf(store, request),
  };
}

function answerOf(store: BlobStore, { segment, role, range }: RouteRequest): RouteAnswer {
  const bytes = store.get(segment);
  if (!bytes) return { status: 404 };
  if (!store.isFor(role, segment)) return { status: 403 };
  const size = bytes.length;
  const part = byteRange(range, size);
  const headers = { "Accept-Ranges": "bytes" };
  if (part === "whole") return { status: 200, body: bytes, headers };
  if (part === "none") {
    return { status: 416, headers: { ...headers, "Content-Range": `bytes */${size}` } };
  }
  const { from, to } = part;
  const contentRange = `bytes ${from}-${to - 1}/${size}`;
  const body = bytes.subarray(from, to);
  return { status: 206, body, headers: { ...headers, "Content-Range": contentRange } };
}
