/**
 * Making values where they end up: inside a packed slot, or in a state's own buffer.
 */
import { isContiguous } from "../tensor/layout.ts";
import { sizeOf } from "../tensor/shape.ts";
import type { KernelCall, Operand, Slot } from "./kernel.ts";
import { accessOf, homeOf } from "./slot.ts";

/** Whether an operand is the whole of a temporary slot that lies nowhere yet. */
export function isMovable({ slot, layout }: Operand): boolean {
  const isWhole =
    layout.offset === 0 && isContiguous(layout) && sizeOf(layout.shape) === slot.elements;
  return slot.kind === "temporary" && !slot.inside && isWhole;
}

/** Whether some call reads one of two slots and writes the other: they must not share a buffer. */
export function conflicts(calls: readonly KernelCall[], slot: Slot, other: Slot): boolean {
  const isIn = (s: Slot, home: Slot): boolean => s === home || s.inside?.slot === home;
  return calls.some((call) => {
    if (!call.bindings.includes(slot)) return false;
    const { reads, writes } = accessOf(call);
    return (
      (writes.includes(slot) && reads.some((s) => isIn(s, other))) ||
      (reads.includes(slot) && writes.some((s) => isIn(s, other)))
    );
  });
}

/**
 * Lets an assigned value be made in the state's own buffer, when no call reads the old value afterwards. The call that
 * makes it may itself read the old value, element by element: it is then replaced by its in-place form.
 */
export function storeDirectly(calls: KernelCall[], from: Operand, to: Operand): boolean {
  if (!isMovable(from)) return false;
  const first = calls.findIndex((c) => c.bindings.includes(from.slot));
  if (first < 0) return false;
  const home = homeOf(to.slot);
  const touches = (call: KernelCall): boolean => call.bindings.some((b) => homeOf(b) === home);
  if (calls.some((c, i) => i > first && touches(c))) return false;
  const maker = calls[first] as KernelCall;
  if (touches(maker)) {
    const direct = maker.retarget?.(to);
    if (!direct) return false;
    calls[first] = direct;
  }
  from.slot.inside = { slot: to.slot, offsetBytes: 0 };
  return true;
}
