/** From a value to a configuration. */
import { contradictions } from "./cross-checks.ts";
import { type Problem, problemsOf, refuseFor } from "./problems.ts";
import { schema } from "./schema.ts";
import type { Path } from "./schema-walk.ts";
import type { TrainConfig, TrainConfigInput } from "./types.ts";

/** Options of {@link parseConfig}. */
export interface ParseConfigOptions {
  /** Name of the run where the configuration has none. Default `run`. */
  readonly name?: string;
  /** Where the value is from, for errors. Default `configuration`. */
  readonly source?: string;
  /** Where a key stands in its source, as in `line 3`, for errors. */
  readonly locate?: (path: Path) => string | undefined;
}

/**
 * Checks a value and fills in what is left out.
 *
 * Errors    `config_invalid` with every key that does not exist, the one that was meant, every value of a wrong kind, and
 *           keys that contradict each other.
 */
export function parseConfig(value: unknown, options: ParseConfigOptions = {}): TrainConfig {
  const { source = "configuration", locate } = options;
  const problem = (text: string): Problem[] => [{ path: [], text }];
  if (!isPlain(value)) {
    refuseFor(problem("expected sections and keys, as in `rollout: { groupSize: 8 }`"), source);
  }
  const named = options.name === undefined ? value : { name: options.name, ...Object(value) };
  const read = schema.safeParse(named);
  if (!read.success) refuseFor(problemsOf(read.error.issues, named), source, locate);
  const config = read.data as TrainConfig;
  refuseFor(contradictions(config), source, locate);
  return config;
}

/**
 * A configuration in TypeScript, for the default export of its module: nothing but its type, so that editors know the
 * keys.
 */
export function defineConfig<Task>(config: TrainConfigInput<Task>): TrainConfigInput<Task> {
  return config;
}

function isPlain(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
