import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { BlobStore, blobRoute } from "../../../../cluster/blobs/blob-store.ts";
import type { Role } from "../../../../cluster/transport/identity.ts";
import type { RouteAnswer } from "../../../../cluster/transport/route.ts";

const BYTES = Uint8Array.from({ length: 10 }, (_, i) => i);

function ask(
  store: BlobStore,
  segment: string,
  { role = "trainer", range }: { role?: Role; range?: string } = {},
): Promise<RouteAnswer> {
  const { signal } = new AbortController();
  const body = new Uint8Array();
  return blobRoute(store).answer({ role, nodeId: "a", segment, range, body, signal });
}

test("bytes are kept by their hash, without a copy", () => {
  const store = new BlobStore();
  const ref = store.put(BYTES);
  expect(ref).toEqual({ hash: createHash("sha256").update(BYTES).digest("hex"), size: 10 });
  expect(store.get(ref.hash)).toBe(BYTES);
  expect(store.get("0".repeat(64))).toBeUndefined();
  expect(store.bytes).toBe(10);
});

test("what is put twice is there once, until it is deleted twice", () => {
  const store = new BlobStore();
  const { hash } = store.put(BYTES);
  store.put(BYTES.slice());
  expect(store.bytes).toBe(10);
  store.delete(hash);
  expect(store.get(hash)).toBe(BYTES);
  store.delete(hash);
  expect(store.get(hash)).toBeUndefined();
  expect(store.bytes).toBe(0);
  store.delete(hash);
  expect(store.bytes).toBe(0);
  store.put(BYTES);
  expect(store.get(hash)).toBe(BYTES);
});

test("what is held is there as if it had been put again", () => {
  const store = new BlobStore();
  const { hash } = store.put(BYTES);
  expect(store.hold(hash)).toBe(true);
  store.delete(hash);
  expect(store.get(hash)).toBe(BYTES);
  store.delete(hash);
  expect(store.get(hash)).toBeUndefined();
  expect(store.hold(hash)).toBe(false);
  expect(store.get(hash)).toBeUndefined();
});

test("a blob for trainers is not for rollout nodes, until it is put for all", async () => {
  const store = new BlobStore();
  const { hash } = store.put(BYTES, { readers: "trainers" });
  expect((await ask(store, hash)).status).toBe(200);
  expect(await ask(store, hash, { role: "rollout" })).toEqual({ status: 403 });
  store.put(BYTES, { readers: "trainers" });
  expect((await ask(store, hash, { role: "rollout" })).status).toBe(403);
  store.put(BYTES);
  expect(await ask(store, hash, { role: "rollout" })).toMatchObject({ status: 200, body: BYTES });
});

test("a blob is answered whole, in part, or with why not", async () => {
  const store = new BlobStore();
  const { hash } = store.put(BYTES);
  expect(await ask(store, "none")).toEqual({ status: 404 });
  expect(await ask(store, "none", { role: "rollout" })).toEqual({ status: 404 });
  expect(await ask(store, hash)).toMatchObject({
    ...{ status: 200, body: BYTES, headers: { "Accept-Ranges": "bytes" } },
  });
  expect(await ask(store, hash, { range: "bytes=2-4" })).toEqual({
    ...{ status: 206, body: BYTES.subarray(2, 5) },
    headers: { "Accept-Ranges": "bytes", "Content-Range": "bytes 2-4/10" },
  });
  expect(await ask(store, hash, { range: "bytes=10-" })).toMatchObject({
    status: 416,
    headers: { "Content-Range": "bytes */10" },
  });
});
