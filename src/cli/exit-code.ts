/** What a process tells its launcher when it ends. */
import { ClusterError, type ClusterErrorCode } from "../../cluster/index.ts";
import { type ErrorCode, ForgeError } from "../../engine/error.ts";

/** `sysexits.h` has 75 (EX_TEMPFAIL) and 78 (EX_CONFIG); the scripts in `deploy/` act by them. */
export const EXIT = {
  done: 0,
  /** What failed may be otherwise next time, or not: whoever looks at it decides. */
  failed: 1,
  /** Start it again: the others, the network or the machine were not there, or it was told to end before it was done. */
  retry: 75,
  /** Do not: it would end in the same way, here and anywhere. */
  configuration: 78,
} as const;

const CONFIGURATION: ReadonlySet<ErrorCode | ClusterErrorCode> = new Set([
  ...(["argument_invalid", "config_invalid", "model_not_found", "model_unsupported"] as const),
  ...(["package_missing", "template_invalid", "tokenizer_invalid", "hub_gated"] as const),
  ...(["hub_not_found", "hub_unauthorized", "nats_unauthorized", "tokenizer_mismatch"] as const),
  ...(["peer_forbidden", "peer_unauthorized", "tls_invalid", "token_invalid"] as const),
]);

const RETRY: ReadonlySet<ErrorCode | ClusterErrorCode> = new Set([
  ...(["collective_aborted", "connection_closed", "listen_failed", "peer_busy"] as const),
  ...(["peer_invalid", "peer_not_ready", "peer_stalled", "peer_unreachable"] as const),
  ...(["device_lost", "hub_unreachable", "nats_unreachable", "run_locked"] as const),
]);

/**
 * The exit code of a node whose work has thrown this; undefined stands for work that is done. Who was told to end, and has
 * thrown its signal's reason, is to be started again: the run is not done.
 */
export function exitCodeOf(error: unknown): number {
  if (error === undefined) return EXIT.done;
  if (error instanceof Error && error.name === "AbortError") return EXIT.retry;
  if (!(error instanceof ForgeError || error instanceof ClusterError)) return EXIT.failed;
  if (CONFIGURATION.has(error.code)) return EXIT.configuration;
  return RETRY.has(error.code) ? EXIT.retry : EXIT.failed;
}
