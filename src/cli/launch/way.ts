/** How nodes make their steps one, by flags and variables. */
import { ForgeError } from "../../../engine/error.ts";
import { OUTER, type Way } from "../../train/cluster/way.ts";
import type { Given } from "./given.ts";
import type { Setting } from "./launch.ts";
import { OUTER_LR, OUTER_MOMENTUM, SYNC, type Sync } from "./rule.ts";

/** See the file's head. */
export interface WaySettings {
  readonly sync: Setting<Sync>;
  /** Of what nodes step by together where they meet seldom. */
  readonly outerLr: Setting<number>;
  readonly outerMomentum: Setting<number>;
}

/** The flags of {@link WaySettings}, by commander's names. */
export interface WayFlags {
  readonly sync?: string;
  readonly outerLr?: string;
  readonly outerMomentum?: string;
}

/** Errors: `config_invalid`, also for an outer optimizer of nodes that have none. */
export function waySettings(given: Given): WaySettings {
  const settings = {
    sync: given.read<Sync>("sync", SYNC, { kind: "zero1" }),
    outerLr: given.read<number>("outerLr", OUTER_LR, OUTER.outerLr),
    outerMomentum: given.read<number>("outerMomentum", OUTER_MOMENTUM, OUTER.outerMomentum),
  };
  const { sync, outerLr, outerMomentum } = settings;
  const odd = [outerLr, outerMomentum].find(({ source }) => source !== "default");
  if (!odd || sync.value.kind === "diloco") return settings;
  throw new ForgeError({
    code: "config_invalid",
    what: `${odd.source} is of no use here.`,
    got: `${odd.value}, with ${sync.value.kind}`,
    why: "only nodes that meet seldom have an outer optimizer",
    fix: `leave ${odd.source} out, or give --sync diloco:H`,
  });
}

/** As training takes it. */
export function wayOf({ sync: { value }, outerLr, outerMomentum }: WaySettings): Way {
  if (value.kind !== "diloco") return value.kind;
  return { every: value.steps, outerLr: outerLr.value, outerMomentum: outerMomentum.value };
}
