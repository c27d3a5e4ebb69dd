/** How a collector has groups played by others. */
import type { PlayedGroup } from "../cluster/played-group.ts";

/** A group for somebody to play. */
export interface Job {
  readonly groupId: number;
  /** Number of this hand-out among all of a collector: of two of a group, the later one has the larger. */
  readonly attempt: number;
  /** Steps whose weights were live at the hand-out: older ones must not sample. */
  readonly version: number;
}

/** What became of a result: it counts, or the group is finished, called off or begun anew, and it does not. */
export type Verdict = "taken" | "unwanted";

/** Whoever knows of others that play. */
export interface Dispatcher {
  /** Says where results go, and whose groups are handed out. Called once, before anything else. */
  attach(home: GroupHome): void;
  /** Takes a group if somebody has room. */
  dispatch(job: Job): boolean;
  /** Nobody needs to play the group any more. */
  cancel(groupId: number): void;
  /** A step is committed, and with those before it has used, or passed over, all groups below `head`. */
  committed?(head: number): void;
}

/** The collector as its dispatcher sees it. */
export interface GroupHome {
  /** Takes what was made of a group. Errors: `argument_invalid`, `non_finite`, `state_conflict` for what cannot be used. */
  adopt(group: PlayedGroup): Verdict;
  /** Who had the group is gone: it is begun again as if nothing of it had happened. */
  takeBack(groupId: number): void;
  /** Somebody has room: groups that wait for it are handed out. */
  offer(): void;
}
