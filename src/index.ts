/**
 * The front door of the library: re-exports only. Bundles for browsers get `browser.ts` under the same name.
 *
 * `forge-gpu/engine` and `forge-gpu/cluster` give the parts without the rest.
 */
export { type ReadTasksOptions, readTasks } from "./agent/read-tasks.ts";
export * from "./browser.ts";
export {
  type ModelDirectory,
  openModelDirectory,
  type SaveDirectoryOptions,
  saveModelDirectory,
} from "./models/directory.ts";
export {
  type OffendingBatch,
  type OffendingSample,
  saveOffendingBatch,
} from "./train/checkpoint/failure.ts";
export {
  type BestCheckpoint,
  type PruneOptions,
  pruneCheckpoints,
  readBest,
  recordBest,
} from "./train/checkpoint/keep.ts";
export {
  type LatestOptions,
  latestCheckpoint,
  readCheckpoint,
} from "./train/checkpoint/read.ts";
export { writeCheckpoint } from "./train/checkpoint/write.ts";
export { type LoadConfigOptions, type LoadedConfig, loadConfig } from "./train/config/load.ts";
export { loadEnvironment } from "./train/config/load-environment.ts";
export { type ExportFormat, type ExportOptions, exportPolicy } from "./train/policy/export.ts";
export { type OpenPolicyOptions, openPolicy } from "./train/policy/policy.ts";
export {
  type CheckpointChoice,
  openRunPolicy,
  type RunPolicy,
  type RunPolicyOptions,
} from "./train/policy/run-policy.ts";
export { METRICS, type MetricEntry, metricEntry } from "./train/run/metric-catalogue.ts";
export type { Metrics, MetricsWriter, StepMetrics } from "./train/run/metrics.ts";
export {
  type Resumption,
  type RunDescription,
  RunDirectory,
  type RunOptions,
  type RunPlace,
  type RunRecord,
  readMetrics,
} from "./train/run/run-directory.ts";
export { newestRun } from "./train/run/runs-folder.ts";
export { createTrainView, type TrainView, type TrainViewOptions } from "./train/run/train-view.ts";
export { type TrainOptions, type TrainResult, train } from "./train/train.ts";
