/** What a token's colour says. */
import type { RolloutTurn } from "../api.ts";
import { figureText } from "./words.ts";

/** What tokens are coloured by. */
export type ColourBy = "logprob" | "entropy" | "advantage" | "mask";

/** A way of colouring. */
export interface Colouring {
  readonly label: string;
  readonly title: string;
  /** Ends of the scale. */
  readonly legend: readonly { readonly colour: string; readonly text: string }[];
}

/** Log-probs of −5 (one in 150) and below are as surprising as it gets. */
const LOGPROB_END = 5;
/** Nats: uncertainty among about twenty tokens. */
const ENTROPY_END = 3;
/** Of 0 to 1, the strongest shade on which text is still read well. */
const STRONGEST = 0.62;

const shade = (name: string, amount: number): string =>
  `rgb(var(--${name}) / ${(STRONGEST * Math.min(1, Math.max(0, amount))).toFixed(3)})`;

/** The ways of colouring a token; `most` is the greatest |advantage| of the rollout. */
export function colouringOf(by: ColourBy, most: number): Colouring {
  switch (by) {
    case "logprob":
      return {
        label: "Log-prob",
        title: "How likely the policy held the token when it sampled it",
        legend: [
          { colour: shade("hot", 0), text: "certain" },
          { colour: shade("hot", 0.5), text: `−${LOGPROB_END / 2}` },
          { colour: shade("hot", 1), text: `−${LOGPROB_END} or less likely` },
        ],
      };
    case "entropy":
      return {
        label: "Entropy",
        title: "How undecided the policy was at this place, when it was trained; in nats",
        legend: [
          { colour: shade("cool", 0), text: "decided" },
          { colour: shade("cool", 0.5), text: String(ENTROPY_END / 2) },
          { colour: shade("cool", 1), text: `${ENTROPY_END} nats or more` },
        ],
      };
    case "advantage":
      return {
        label: "Advantage",
        title: "Whether training made the token likelier or less likely",
        legend: [
          { colour: shade("hot", 1), text: `${figureText(-most)}: less of this` },
          { colour: shade("cool", 0), text: "0" },
          { colour: shade("cool", 1), text: `+${figureText(most)}: more of this` },
        ],
      };
    case "mask":
      return {
        label: "Mask",
        title: "What had a gradient",
        legend: [
          { colour: shade("cool", 0.7), text: "sampled and trained on" },
          { colour: shade("hot", 0.7), text: "sampled, not trained on" },
          { colour: "rgb(var(--grey) / 0.18)", text: "prompt: given, never trained on" },
        ],
      };
  }
}

/** The background of a token; undefined where there is no figure for it. */
export function tokenColour(
  turn: RolloutTurn,
  token: number,
  by: ColourBy,
  most: number,
): string | undefined {
  if (by === "mask") return shade(turn.advantages ? "cool" : "hot", 0.7);
  const value = figureOf(turn, token, by);
  if (value === undefined) return undefined;
  if (by === "logprob") return shade("hot", -value / LOGPROB_END);
  if (by === "entropy") return shade("cool", value / ENTROPY_END);
  return shade(value < 0 ? "hot" : "cool", Math.abs(value) / (most || 1));
}

function figureOf(turn: RolloutTurn, token: number, by: ColourBy): number | undefined {
  if (by === "logprob") return turn.rolloutLogprobs?.[token];
  return (by === "entropy" ? turn.entropies : turn.advantages)?.[token];
}

/** The greatest |advantage| of a rollout. */
export function greatestAdvantage(turns: readonly RolloutTurn[]): number {
  let most = 0;
  for (const { advantages = [] } of turns)
    for (const advantage of advantages) most = Math.max(most, Math.abs(advantage));
  return most;
}
