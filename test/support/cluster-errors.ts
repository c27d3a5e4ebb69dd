/** Errors of the cluster as tests see them: by their code. */
import { expect } from "vitest";
import { ClusterError, type ClusterErrorCode } from "../../cluster/error.ts";

/** The code of the `ClusterError` that `fn` throws; anything else fails the test. */
export function clusterCodeOf(fn: () => unknown): ClusterErrorCode {
  try {
    fn();
  } catch (error) {
    if (error instanceof ClusterError) return error.code;
    return expect.fail(`no ClusterError: ${String(error)}`);
  }
  return expect.fail("nothing was thrown");
}
