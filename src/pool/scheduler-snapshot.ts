/** What a scheduler looks like in a checkpoint. */
import { ForgeError } from "../../engine/error.ts";
import type { Ticket, WindowSnapshot } from "./group-window.ts";
import type { LagSnapshot } from "./lag.ts";

/** A `Scheduler` as plain JSON. */
export interface SchedulerSnapshot extends WindowSnapshot {
  readonly format: 1;
  readonly slots: number;
  readonly groupsPerStep: number;
  readonly window: number | "greedy";
  readonly version: number;
  readonly taken: readonly Ticket[];
  readonly lags: LagSnapshot;
}

/**
 * Errors    `argument_invalid` when the scheduler's sizes are not the snapshot's; `checkpoint_invalid` for a snapshot
 *           that no scheduler has made.
 */
export function checkSchedulerSnapshot(
  snapshot: SchedulerSnapshot,
  sizes: { readonly slots: number; readonly groupsPerStep: number; readonly window: number },
): void {
  if (snapshot?.format !== 1) refuse("format", snapshot?.format);
  const window = snapshot.window === "greedy" ? Number.POSITIVE_INFINITY : snapshot.window;
  const was = { ...snapshot, window };
  for (const field of ["slots", "groupsPerStep", "window"] as const) {
    if (was[field] === sizes[field]) continue;
    throw new ForgeError({
      code: "argument_invalid",
      what: `scheduler: "${field}" is not what it was when the checkpoint was written.`,
      got: `${sizes[field]} now, ${was[field]} then`,
      why: "the bounds on the lag of the groups in flight would not hold",
      fix: "resume with the checkpoint's own settings",
    });
  }
  for (const field of ["next", "consumed", "version"] as const)
    if (!isCount(snapshot[field])) refuse(field, snapshot[field]);
  for (const field of ["waiting", "taken"] as const)
    if (!Array.isArray(snapshot[field])) refuse(field, snapshot[field]);
  const ids = [...snapshot.waiting, ...snapshot.taken].map((ticket) => ticket.id);
  const isWrong = snapshot.waiting.some((w, i) => i > 0 && w.id <= (ids[i - 1] as number));
  if (isWrong || new Set(ids).size < ids.length || ids.length > sizes.slots)
    refuse("waiting", ids.join(", "));
  if (ids.some((id) => !isCount(id) || id >= snapshot.next)) refuse("next", snapshot.next);
  if (snapshot.consumed + snapshot.waiting.length !== snapshot.next)
    refuse("consumed", snapshot.consumed);
  for (const unit of ["groups", "steps"] as const)
    for (const pair of snapshot.lags?.[unit] ?? [undefined])
      if (!isCount(pair?.[0]) || !isCount(pair?.[1])) refuse(`lags.${unit}`, pair);
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function refuse(field: string, got: unknown): never {
  throw new ForgeError({
    code: "checkpoint_invalid",
    what: `scheduler: "${field}" of the checkpoint cannot be used.`,
    got: String(got),
    fix: "resume from another checkpoint",
  });
}
