import { describe, expect, it } from "vitest";
import { exampleConfigs, smallExample } from "../support/example-configs.ts";
import { checkTokens } from "../support/token-exactness.ts";

const REQUESTS = 1000;
/** Of a warm start: after so many, chats go on for more than one request. */
const STEPS = 300;

describe(`the tokens that are trained, of ${REQUESTS} requests`, () => {
  it.for(exampleConfigs())("are those that were sampled, to the id: %s", async (path, { skip }) => {
    const { file, overrides, missing } = await smallExample(path, STEPS);
    if (missing !== undefined) skip(`there is no ${missing}`);
    const { requests, continued, chats } = await checkTokens(file, {
      ...{ overrides, requests: REQUESTS },
    });
    expect(requests).toBeGreaterThanOrEqual(REQUESTS);
    if (chats) expect(continued).toBeGreaterThan(100);
  });
});
