/** The models' cache of a test. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, vi } from "vitest";

/** Gives each test of a file an empty cache, no token and no hub; returns a way to its scratch folder. */
export function useEmptyCache(): () => string {
  let scratch = "";
  beforeEach(() => {
    scratch = mkdtempSync(join(tmpdir(), "forge-gpu-hub-"));
    vi.stubEnv("FORGE_CACHE", join(scratch, "cache"));
    vi.stubEnv("HF_HOME", join(scratch, "hf"));
    for (const name of ["HF_TOKEN", "HF_TOKEN_PATH", "HF_ENDPOINT"]) vi.stubEnv(name, "");
  });
  afterEach(() => {
    vi.unstubAllEnvs();
    rmSync(scratch, { recursive: true, force: true });
  });
  return () => scratch;
}
