/**
 * The front door of the library: re-exports only. Bundles for browsers get `browser.ts` under the same name.
 *
 * `forge-gpu/engine` and `forge-gpu/cluster` give the parts without the rest.
 */
export * from "./browser.ts";
export {
  type ModelDirectory,
  openModelDirectory,
  type SaveDirectoryOptions,
  saveModelDirectory,
} from "./models/directory.ts";
export { type Clock, ManualClock, wallClock } from "./pool/clock.ts";
export {
  buildForest,
  type ForestOptions,
  type SampleForest,
} from "./pool/forest.ts";
export type { ForestBatch, ForestSample, TokenRange } from "./pool/forest-batch.ts";
export type { ForestPacking } from "./pool/forest-packing.ts";
export type { ForestCost, ForestReport } from "./pool/forest-report.ts";
export {
  edgeCoefficients,
  gatherEdges,
  pathOf,
  samplesOf,
  tokenValues,
} from "./pool/forest-samples.ts";
export type { Histogram, LagReport, LagSummary } from "./pool/lag.ts";
export { sessionIdOf } from "./pool/open-group.ts";
export { DataPool, type DataPoolOptions, type GroupInput } from "./pool/pool.ts";
export type { PoolSnapshot, SessionSnapshot } from "./pool/pool-snapshot.ts";
export type {
  Completion,
  CompletionInput,
  GroupRecord,
  RewardInput,
  RewardRecord,
  SamplingRecord,
  SessionRecord,
  SessionStatus,
} from "./pool/record.ts";
export { Scheduler, type SchedulerOptions, type Ticket } from "./pool/scheduler.ts";
export type { SchedulerSnapshot } from "./pool/scheduler-snapshot.ts";
