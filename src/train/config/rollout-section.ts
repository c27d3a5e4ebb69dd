/** Sections `reward` and `rollout`: how episodes are played, and what they earn. */
import { z } from "zod";
import {
  choice,
  derived,
  flag,
  key,
  nullable,
  number,
  positive,
  section,
  share,
  taking,
  temperature,
  text,
  whole,
} from "./fields.ts";
import type { RewardSection, RolloutSection } from "./types.ts";

export const rewardSection: z.ZodType<RewardSection> = section(
  "What an episode earns: outcome + process · Σ process rewards + speed · speed. Discount and baseline are options of the algorithm.",
  {
    weights: key(
      taking("weights by name", z.record(text(), number())),
      {},
      "Weights of reward components in the place of the environment's, by name; 0 measures only.",
    ),
    roles: key(
      taking("weights by name", z.record(text(), number())),
      {},
      "What advantages of the tokens of an agent are multiplied by, by its role: main, or a sub-agent's name; 0 trains it on nothing, left out is 1.",
    ),
    process: key(number(), 0.1, "α: weight of process rewards."),
    speed: key(
      number(),
      0.1,
      "β: weight of speed, which is paid for successes only: 1 − time / median time of successes, from −1.",
    ),
    speedWindow: key(whole(1), 32, "Earlier successes of a task that its speed is compared with."),
    speedMinimum: key(
      whole(1),
      1,
      "Successes that a group must have to be compared with itself rather than with earlier ones.",
    ),
    secondsPerToken: nullable(
      positive(),
      "Virtual clock for speed: seconds that a sampled token counts, queueing aside; null: the run's own clock.",
    ),
    truncated: key(
      choice(["mask", "score", "zero"]),
      "mask",
      "Episodes that were cut: no gradient and no part in baselines, the reward as scored, or reward 0.",
    ),
  },
);

const window = taking(
  'whole number from 1, number between 0 and 1, "strict" or "greedy"',
  z.union([
    z.literal(["strict", "greedy"]),
    z.number().refine((w) => (w > 0 && w < 1) || (Number.isSafeInteger(w) && w >= 1)),
  ]),
);

const repetition = z.strictObject({
  count: key(whole(1), 3000, "Tokens in a row."),
  probability: key(share([0]), 0.99, "Probability that each of them exceeds."),
});

export const rolloutSection: z.ZodType<RolloutSection> = section(
  "How episodes are played.",
  {
    groupSize: key(whole(1), 8, "Episodes of a group: plays of one task."),
    groupsPerStep: key(whole(1), 8, "Groups of an optimizer step."),
    slots: derived(
      whole(1),
      "2 · groupsPerStep",
      "Groups that are played, wait or are trained on at once; as many as groupsPerStep is on-policy.",
    ),
    window: key(
      window,
      0.3,
      "How far beyond the oldest group the trainer may look: groups, or a share of the slots; strict is 1, greedy bounds no lag.",
    ),
    batch: key(whole(1), 8, "Sequences sampled at once."),
    cacheSlots: derived(
      whole(1),
      "batch",
      "Sequences that the KV cache holds; those beyond the batch keep prefixes.",
    ),
    stepsPerReadback: key(whole(1), 8, "Tokens drawn between two readbacks."),
    length: nullable(
      whole(2),
      "Tokens of the longest sequence, prompt and answers; null: what the model was made for.",
    ),
    maxTokens: nullable(
      whole(1),
      "Tokens of an answer at most, where neither its request nor the environment says; null: what the context has room for.",
    ),
    temperature: key(temperature(), 1, "What logits are divided by, in training too."),
    topK: key(whole(0), 0, "Draw from the most probable tokens only; 0 is off. Biases the ratios."),
    topP: key(
      share([1]),
      1,
      "Draw from the fewest tokens that have this probability together; 1 is off. Biases the ratios.",
    ),
    minP: key(
      share(),
      0,
      "Draw from tokens with this share of the largest probability; 0 is off. Biases the ratios.",
    ),
    repetition: nullable(
      taking("section with count and probability", repetition),
      "End an answer after many tokens in a row that are all but certain; null: off.",
    ),
    episodeTimeoutMs: key(
      positive().nullable(),
      600_000,
      "Milliseconds after which an episode is cancelled; null: never. Without effect in a deterministic run.",
    ),
    groupDeadlineMs: nullable(
      positive(),
      "Milliseconds after which a group goes on without what is missing; null: never. Without effect in a deterministic run.",
    ),
    poolCapacityTokens: key(
      whole(1),
      1_000_000,
      "Tokens that wait to be trained on before agents have to wait.",
    ),
    deterministic: key(
      taking("auto, true or false", z.union([z.literal("auto"), flag()])),
      "auto",
      "Whether the same seed gives the same run, bit for bit; auto: where the environment is pure.",
    ),
  },
  (read) => ({
    ...read,
    slots: read.slots ?? 2 * read.groupsPerStep,
    cacheSlots: read.cacheSlots ?? read.batch,
  }),
);
