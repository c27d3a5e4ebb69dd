/** Questions about slots: whose memory they use, and how calls access them. */
import { declaredBindings } from "../gpu/pipeline.ts";
import type { KernelCall, Slot } from "./kernel.ts";

/** The slot whose memory a slot uses. */
export function homeOf(slot: Slot): Slot {
  return slot.inside ? homeOf(slot.inside.slot) : slot;
}

/** Byte offset of a slot in its home. */
export function offsetInHome(slot: Slot): number {
  return slot.inside ? slot.inside.offsetBytes + offsetInHome(slot.inside.slot) : 0;
}

/** Whether a slot's memory begins in that of another. */
export function isWithin(slot: Slot, other: Slot): boolean {
  const [at, from] = [offsetInHome(slot), offsetInHome(other)];
  return homeOf(slot) === homeOf(other) && at >= from && at < from + other.sizeBytes;
}

/** Slots that a call reads and writes, from the declarations in its text. */
export function accessOf(call: KernelCall): { reads: Slot[]; writes: Slot[] } {
  const kinds = declaredBindings(`${call.source}\n${call.options?.declarations ?? ""}`);
  const reads: Slot[] = [];
  const writes: Slot[] = [];
  call.bindings.forEach((slot, i) => {
    (kinds[i + 1] === "read_write" ? writes : reads).push(slot);
  });
  return { reads, writes };
}
