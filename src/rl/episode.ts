/** Episodes, as advantages see them: numbers only. */
import type { GroupId } from "./groups.ts";
import type { Row } from "./rows.ts";

/** One request of an episode: what the policy sampled in answer to one context. */
export interface EpisodeStep {
  /** Tokens that were sampled. */
  readonly tokens: number;
  /** What the step earned; outcome and speed stand on the last step of an episode. */
  readonly reward: number;
  /** What of this the episode earned as a whole: outcome and speed, to which every chain has led. Default 0. */
  readonly shared?: number;
  /**
   * The step whose answer it follows, by its index; `null` for the first of a chain, such as that of an agent beside others.
   * Default: the step before. What a step earned by itself goes to those before it in its chain.
   */
  readonly parent?: number | null;
  /** What its advantages are multiplied by, such as the weight of the agent whose step it is. Default 1. */
  readonly weight?: number;
  /** [tokens] What single tokens earned besides, such as the price of leaving the reference. Default nothing. */
  readonly tokenRewards?: Row;
  /** [tokens] log-probabilities under the policy that sampled. */
  readonly rolloutLogprobs: Row;
  /** [tokens] under the trainer's policy before the update; absent where the ratio is taken to the rollout's. */
  readonly oldLogprobs?: Row;
  /** [tokens] under the reference policy. */
  readonly referenceLogprobs?: Row;
  /** [tokens] V of the state in which each token was sampled; with a critic. */
  readonly values?: Row;
}

/** A play of a task. */
export interface Episode {
  /** Plays of one group are compared with each other. */
  readonly group: GroupId;
  /** What was played, for baselines that outlive a group. Default: the group. */
  readonly task?: GroupId;
  /** False: in no baseline and no deviation, and all of its advantages are 0. */
  readonly takesPart: boolean;
  readonly steps: readonly EpisodeStep[];
}

/** What {@link AdvantageFunction} gives. */
export interface Advantages {
  /** [episodes][steps][tokens] */
  readonly advantages: readonly (readonly Row[])[];
  /** [episodes][steps][tokens] targets of the value function; with a critic. */
  readonly returns?: readonly (readonly Row[])[];
}

/** Advantages of the episodes of one optimizer step. */
export type AdvantageFunction = (episodes: readonly Episode[]) => Advantages;
