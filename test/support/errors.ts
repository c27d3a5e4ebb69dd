/** Errors as tests see them: by their code, since codes are API and prose is not. */
import { expect } from "vitest";
import { type ErrorCode, ForgeError } from "../../engine/error.ts";

/** The code of the `ForgeError` that `fn` throws; anything else fails the test. */
export function codeOf(fn: () => unknown): ErrorCode {
  try {
    fn();
  } catch (error) {
    return codeIn(error);
  }
  return expect.fail("nothing was thrown");
}

/** The code of the `ForgeError` that a promise is rejected with; anything else fails the test. */
export async function rejectionOf(promise: Promise<unknown>): Promise<ErrorCode> {
  return codeIn(await errorOf(promise));
}

/** The error that a promise is rejected with. */
export async function errorOf(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  return expect.fail("nothing was thrown");
}

function codeIn(error: unknown): ErrorCode {
  if (error instanceof ForgeError) return error.code;
  return expect.fail(`no ForgeError: ${String(error)}`);
}
