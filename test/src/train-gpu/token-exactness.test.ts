import { describe, expect, it } from "vitest";
import { exampleConfigs, smallExample } from "../../support/example-configs.ts";
import { checkTokens } from "../../support/token-exactness.ts";

/** Enough to see each kind of request; test/soak has 1,000. */
const REQUESTS = 60;

describe("the tokens that are trained", () => {
  it.for(exampleConfigs())("are those that were sampled, to the id: %s", async (path, { skip }) => {
    const { file, overrides, missing } = await smallExample(path);
    if (missing !== undefined) skip(`there is no ${missing}`);
    const { requests, continued, chats } = await checkTokens(file, {
      ...{ overrides, requests: REQUESTS },
    });
    expect(requests).toBeGreaterThanOrEqual(REQUESTS);
    // one that answers tools goes on from the very ids of before
    if (chats) expect(continued).toBeGreaterThan(0);
  });
});
