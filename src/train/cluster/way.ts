/** How nodes make their steps one, as far as all of them have to do the same. */
import { ForgeError } from "../../../engine/index.ts";
import type { Sync } from "./ring-exchange.ts";

/**
 * Nodes make steps of their own, and meet at every so many: what they have moved since is the gradient of an outer optimizer, which
 * is SGD with Nesterov's momentum.
 *
 * Source    DiLoCo, arXiv:2311.08105; OpenDiLoCo, arXiv:2407.07852.
 */
export interface Diloco {
  /** Steps from one meeting to the next. */
  readonly every: number;
  readonly outerLr: number;
  readonly outerMomentum: number;
}

/** See the file's head. */
export type Way = Sync | Diloco;

/**
 * The mean of what nodes have come to. The papers' 0.7 and 0.9 carry what they have moved seven times as far: made for pretraining with
 * hundreds of steps to a round, they undo what reinforcement learning has learned at the rates that it takes.
 */
export const OUTER = { outerLr: 1, outerMomentum: 0 } as const;

/** Whether nodes meet at the end of a step, the first being 1: at the last one of a run, too. */
export function isMeeting({ every }: Diloco, step: number, last: number): boolean {
  return step % every === 0 || step === last;
}

/** A way as flags of the command line. */
export function wayFlags(way: Way): string[] {
  if (typeof way === "string") return ["--sync", way];
  const { every, outerLr, outerMomentum } = way;
  return [
    ...["--sync", `diloco:${every}`],
    ...["--outer-lr", `${outerLr}`, "--outer-momentum", `${outerMomentum}`],
  ];
}

/** Errors: `config_invalid` for a state that others have come to another way. */
export function checkWay(theirs: Way, own: Way): void {
  const [got, wanted] = [theirs, own].map((way) => wayFlags(way).join(" "));
  if (got === wanted) return;
  throw new ForgeError({
    code: "config_invalid",
    what: "cluster: the others make their steps another way.",
    got: `${wanted}, where they have ${got}`,
    fix: `start this node with ${got}`,
  });
}
