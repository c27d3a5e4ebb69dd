/** The state that the nodes of a cluster agree on, and what goes between them, as their steps see both. */
import type { BlobRef, Collectives, Fetch, NodeId } from "../../../cluster/index.ts";
import type { SharedExchange } from "../together.ts";
import type { Manifest } from "./state-manifest.ts";

/** What a step comes to. */
export interface StagedStep {
  /** Steps that are committed with it. */
  readonly step: number;
  readonly members: readonly NodeId[];
  readonly work: BlobRef | null;
}

/** An exchange, between {@link StepExchange.enter} and the end of a step the ring's of an epoch. */
export interface StepExchange extends SharedExchange {
  /** A step begins, in a ring. */
  enter(ring: Collectives, signal: AbortSignal): void;
  /** The step counts. */
  commit(): void;
}

/**
 * See the file's head. A state is a manifest of blobs, and its hash is the manifest's: whoever fetches one knows each byte of it. One is
 * staged beside the one before it, which is there again when the step comes to nothing.
 */
export interface StepState {
  readonly manifest: Manifest;
  /** Of the manifest. */
  readonly hash: string;
  /** Whether all nodes play with the weights of this state. */
  readonly isOnePolicy: boolean;
  /** Makes what is on the GPU the state of a step, all of it this node's. */
  capture(step: number, work: BlobRef | null): Promise<void>;
  /** Fetches a state in place of what there was. Errors: `config_invalid`; `peer_unreachable`; the signal's reason. */
  fetch(fetch: Fetch, signal: AbortSignal): Promise<void>;
  /** A step begins, in a ring: the GPU has what it needs. Errors: those of fetching. */
  enter(ring: Collectives, members: readonly NodeId[], signal: AbortSignal): Promise<void>;
  /** Stages what the GPU has come to; its hash. All nodes of the ring call it. Errors: those of the ring. */
  stage(ring: Collectives, staged: StagedStep, signal: AbortSignal): Promise<string>;
  /** The staged state is that of all. */
  commit(): void;
  /** The GPU has again what it had before the step, or before {@link StepState.present}. */
  rollback(): void;
  /** Puts the policy on the GPU that all agree on. Whether it is another one now, until {@link rollback}. */
  present?(): Promise<boolean>;
  /** Puts all else on the GPU that checkpoints hold, until the next step. Errors: those of fetching. */
  gather?(signal: AbortSignal): Promise<void>;
  /** Frees what it has on the GPU. */
  [Symbol.dispose]?(): void;
}
