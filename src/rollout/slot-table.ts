/**
 * What the slots of a KV cache hold, and which one a prompt gets. A slot that is done keeps its tokens until another
 * prompt needs the place: what they share is not computed again. That is all there is to the prefix cache.
 */

/** A sequence in the cache. */
export interface Slot {
  readonly index: number;
  /** Tokens whose keys and values it holds; those of a slot in use are appended as they come back. */
  ids: number[];
  /** Version of the policy that computed them. */
  version: number;
  isBusy: boolean;
  /** An open session's slot: taken from it only when nothing else is left. */
  session: object | undefined;
  /** When it was last used, in requests. */
  usedAt: number;
}

/** Where a prompt goes. */
export interface Placement {
  readonly slot: Slot;
  /** Tokens that need not be computed. */
  readonly reused: number;
  /** The slot to copy them from; undefined when they are in place. */
  readonly source: Slot | undefined;
}

/** The slots of a sampler. */
export class SlotTable {
  readonly slots: readonly Slot[];
  #clock = 0;

  constructor(count: number) {
    this.slots = Array.from({ length: count }, (_, index) => ({
      index,
      ids: [],
      version: 0,
      isBusy: false,
      session: undefined,
      usedAt: 0,
    }));
  }

  get hasFree(): boolean {
    return this.slots.some((slot) => !slot.isBusy);
  }

  /**
   * Takes a slot for a prompt; undefined when all are in use.
   *
   * The last token of a prompt is always computed: its logits are what is sampled from.
   */
  place(prompt: readonly number[], version: number, session?: object): Placement | undefined {
    const { source, reused } = this.#longestPrefix(prompt, version);
    const target = this.#target(source, reused, session);
    if (!target) return undefined;
    target.isBusy = true;
    target.usedAt = ++this.#clock;
    const isInPlace = target === source;
    if (isInPlace) target.ids.length = reused;
    else target.ids = prompt.slice(0, reused);
    target.version = version;
    target.session = session;
    return { slot: target, reused, source: isInPlace ? undefined : source };
  }

  /** Gives a slot back; its tokens stay. */
  release(slot: Slot): void {
    slot.isBusy = false;
    slot.usedAt = ++this.#clock;
  }

  /** A session is over: its slot is one like the others. */
  forget(session: object): void {
    for (const slot of this.slots) if (slot.session === session) slot.session = undefined;
  }

  /** Empties the slots that are free. */
  clear(): void {
    for (const slot of this.slots) if (!slot.isBusy) slot.ids = [];
  }

  #longestPrefix(
    prompt: readonly number[],
    version: number,
  ): { readonly source: Slot | undefined; readonly reused: number } {
    let source: Slot | undefined;
    let reused = 0;
    for (const slot of this.slots) {
      if (slot.version !== version) continue;
      const common = commonPrefix(slot.ids, prompt);
      // of equal ones one that is free: nothing may have to be copied
      if (common > reused || (common === reused && source?.isBusy && !slot.isBusy))
        [source, reused] = [slot, common];
    }
    return { source, reused };
  }

  /** The session's own slot, or the source if nothing of it is lost; else the one used longest ago. */
  #target(source: Slot | undefined, reused: number, session?: object): Slot | undefined {
    const isMine = source !== undefined && session !== undefined && source.session === session;
    const isWhole = source?.session === undefined && source?.ids.length === reused;
    if (source && !source.isBusy && (isMine || isWhole)) return source;
    let best: Slot | undefined;
    for (const slot of this.slots) {
      if (slot.isBusy) continue;
      if (!best || rank(slot) < rank(best)) best = slot;
    }
    return best;
  }
}

/** Empty ones first, then those of no session, then by age. */
function rank({ ids, session, usedAt }: Slot): number {
  if (ids.length === 0) return -1;
  return usedAt + (session ? 2 ** 52 : 0);
}

/** Tokens that a prompt has in common with others from the beginning on; its last one does not count. */
export function commonPrefix(ids: readonly number[], prompt: readonly number[]): number {
  const most = Math.min(ids.length, prompt.length - 1);
  let at = 0;
  while (at < most && ids[at] === prompt[at]) at++;
  return at;
}
