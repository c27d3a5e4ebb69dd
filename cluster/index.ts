/**
 * The ring of training peers. It knows bytes and peers, not models.
 */

export { type BlobRef, BlobStore, type Readers } from "./blobs/blob-store.ts";
export { type BlobSource, fetchBlob } from "./blobs/fetch-blob.ts";
export { fetchSmall } from "./blobs/fetch-small.ts";
export { Cluster, type ClusterSettings } from "./cluster.ts";
export { askStatus, type ClusterStatus } from "./cluster-status.ts";
export {
  bucketsOf,
  type CollectiveRun,
  Collectives,
  ownedRange,
  type RingMembership,
} from "./collectives.ts";
export { ClusterError, type ClusterErrorCode } from "./error.ts";
export type { Fetch, Move } from "./membership/host.ts";
export type { ClusterOptions } from "./membership/options.ts";
export type { ClusterRecord, NodeId } from "./membership/record.ts";
export type { Order, Orders } from "./orders.ts";
export { PROTOCOL_VERSION } from "./protocol/version.ts";
export type { ElementRange } from "./ring/segments.ts";
export { allocateMemory } from "./ring/wasm.ts";
export { BLOCK, bytesOf, WIRE_TYPES, type WireType } from "./ring/wire-type.ts";
export { openRings } from "./ring-plane/open-rings.ts";
export type { RingSpace, Rings } from "./ring-plane/rings.ts";
export { RingVector, type RingVectorOptions } from "./ring-vector.ts";
export type { TransportLimits } from "./transport/limits.ts";
export { NodeClient, type NodeClientOptions } from "./transport/node-client.ts";
export type { Route, RouteAnswer, RouteRequest } from "./transport/route.ts";
export type { TlsFiles } from "./transport/tls.ts";
export { Token } from "./transport/token.ts";
