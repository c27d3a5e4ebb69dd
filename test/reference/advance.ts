/** Oracle of `shaders/advance*.wgsl`. */

/** What a slot keeps. */
export interface SlotRecord {
  token: number;
  position: number;
  left: number;
  produced: number;
  readonly stops: readonly number[];
  /** [K, 4]: token, bits of log-prob and entropy, index. */
  readonly log: number[][];
}

/** A row of what was drawn. */
export interface DrawnRow {
  readonly slot: number;
  readonly token: number;
  readonly logprobBits: number;
  readonly entropyBits: number;
}

/** Books the rows, one after the other. */
export function advance(slots: readonly SlotRecord[], rows: readonly DrawnRow[]): void {
  for (const { slot, token, logprobBits, entropyBits } of rows) {
    const record = slots[slot];
    if (!record || record.left === 0) continue;
    const { produced, log, stops } = record;
    log[produced % log.length] = [token, logprobBits, entropyBits, produced];
    record.produced = produced + 1;
    record.left = stops.includes(token) ? 0 : record.left - 1;
    // the last token is never fed
    if (record.left === 0) continue;
    record.token = token;
    record.position++;
  }
}
