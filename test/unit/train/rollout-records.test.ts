import { expect, it } from "vitest";
import { byteTokenizer, Tokenizer } from "../../../engine/index.ts";
import { recordedEpisode } from "../../../src/bench/tree-load.ts";
import { rolloutRecords } from "../../../src/train/episode/rollout-records.ts";

const tokenizer = Tokenizer.from({ tokenizer: byteTokenizer({ specialTokens: ["<end>"] }) });

/** The turns of the record of an episode with these answers. */
function turnsOf(responses: readonly number[][]): { response: string; responseTokens: string[] }[] {
  const turns = responses.map((response) => {
    return { prompt: tokenizer.encode("?"), response, logprobs: response.map(() => -1), reward: 0 };
  });
  const episode = recordedEpisode(turns, { group: 0, sample: 0 });
  const [record] = rolloutRecords({ episodes: [episode], learned: undefined }, tokenizer);
  return (record as { turns: { response: string; responseTokens: string[] }[] }).turns;
}

it("says which text each sampled token completes", () => {
  const ids = Array.from(tokenizer.encode("aé😀<end>"));
  const [whole, torn] = turnsOf([ids, ids.slice(0, -2)]);
  expect(whole?.responseTokens).toEqual(["a", "", "é", "", "", "", "😀", "<end>"]);
  // a character that was never finished is at the last token that began it
  expect(torn?.responseTokens).toEqual(["a", "", "é", "", "", expect.stringMatching(/^\uFFFD+$/)]);
  for (const turn of [whole, torn]) expect(turn?.responseTokens.join("")).toBe(turn?.response);
});
