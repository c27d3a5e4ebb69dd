/** What the benchmarks ask of another engine. */
import type { TrainingResult } from "../../../src/bench/decoder-data.ts";
import type { MatmulSpec } from "../../../src/bench/matmul.ts";

/** Does so many calls and waits for the last. */
export type Run = (calls: number) => Promise<void>;

/** An engine that is open. Each task checks its result when it is made. */
export interface PeerEngine {
  readonly version: string;
  matmul(spec: MatmulSpec): Promise<{ run: Run; result: Float32Array }>;
  train(): Promise<{ run: Run; result: TrainingResult }>;
}
