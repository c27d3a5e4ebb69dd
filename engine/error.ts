/**
 * The one error class of forge-gpu.
 *
 * Every error says what failed, what was got, why that is wrong and what to do next, and carries a stable code:
 * codes are API, prose is not.
 */

/** Stable error codes. A code keeps its meaning for ever; tests assert codes, never prose. */
export type ErrorCode =
  | "adapter_missing"
  | "argument_invalid"
  | "autotune_mismatch"
  | "checkpoint_invalid"
  | "compile_argument"
  | "config_invalid"
  | "context_exceeded"
  | "device_limit"
  | "device_lost"
  | "disk_full"
  | "dtype_mismatch"
  | "dtype_unsupported"
  | "environment_failed"
  | "file_invalid"
  | "gradient_missing"
  | "hash_mismatch"
  | "hub_answer_invalid"
  | "hub_gated"
  | "hub_not_found"
  | "hub_unauthorized"
  | "hub_unreachable"
  | "index_out_of_range"
  | "install_failed"
  | "internal"
  | "model_not_found"
  | "model_unsupported"
  | "nats_refused"
  | "nats_unauthorized"
  | "nats_unreachable"
  | "non_finite"
  | "out_of_memory"
  | "package_missing"
  | "plan_too_large"
  | "queue_full"
  | "rank_mismatch"
  | "run_directory_unwritable"
  | "run_locked"
  | "run_not_found"
  | "sampler_closed"
  | "shader_invalid"
  | "shape_mismatch"
  | "state_conflict"
  | "tasks_exhausted"
  | "template_invalid"
  | "tokenizer_invalid"
  | "tokenizer_mismatch"
  | "tool_input_invalid"
  | "tool_server_failed"
  | "use_after_dispose"
  | "validation";

/** The parts of an error, each one short sentence or value. */
export interface ErrorParts {
  /** Stable code. */
  readonly code: ErrorCode;
  /** What failed: the op or object, and the claim that does not hold. */
  readonly what: string;
  /** The offending values. */
  readonly got?: string;
  /** The rule that the values break. */
  readonly why?: string;
  /** What to do next. */
  readonly fix?: string;
  /** The error underneath, if any. */
  readonly cause?: unknown;
}

/** An error of forge-gpu; see {@link ErrorParts}. */
export class ForgeError extends Error {
  override readonly name = "ForgeError";
  /** Stable code, for programs. */
  readonly code: ErrorCode;
  /** What to do next, for people. */
  readonly hint: string | undefined;

  constructor(parts: ErrorParts) {
    const lines = [`[${parts.code}] ${parts.what}`];
    if (parts.got !== undefined) lines.push(`  got  ${parts.got}`);
    if (parts.why !== undefined) lines.push(`  why  ${parts.why}`);
    if (parts.fix !== undefined) lines.push(`  fix  ${parts.fix}`);
    super(lines.join("\n"), parts.cause === undefined ? undefined : { cause: parts.cause });
    this.code = parts.code;
    this.hint = parts.fix;
  }
}
