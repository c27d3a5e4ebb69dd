/** The data pool, its scheduler, and the forests that are made of what they give out. */
export { type Clock, ManualClock, wallClock } from "./clock.ts";
export {
  buildForest,
  type ForestOptions,
  type SampleForest,
} from "./forest.ts";
export type { ForestBatch, ForestSample, TokenRange } from "./forest-batch.ts";
export type { ForestPacking } from "./forest-packing.ts";
export type { ForestCost, ForestReport } from "./forest-report.ts";
export {
  edgeCoefficients,
  gatherEdges,
  pathOf,
  samplesOf,
  tokenValues,
} from "./forest-samples.ts";
export type { Ticket } from "./group-window.ts";
export type { Histogram, LagReport, LagSummary } from "./lag.ts";
export { type GroupInput, sessionIdOf } from "./open-group.ts";
export { DataPool, type DataPoolOptions } from "./pool.ts";
export type { PoolSnapshot, SessionSnapshot } from "./pool-snapshot.ts";
export type {
  Completion,
  CompletionInput,
  GroupRecord,
  RewardInput,
  RewardRecord,
  SamplingRecord,
  SessionRecord,
  SessionStatus,
} from "./record.ts";
export { Scheduler, type SchedulerOptions } from "./scheduler.ts";
export type { SchedulerSnapshot } from "./scheduler-snapshot.ts";
