/**
 * Oracle of `shaders/embedding*.wgsl`: rows of a table by id, and the gradient to the table.
 */

/** `out[t] = table[ids[t]]`, zeros for an id outside the table. `table` is [vocab, cols]. */
export function embedding(
  table: ArrayLike<number>,
  ids: ArrayLike<number>,
  { vocab, cols }: { vocab: number; cols: number },
): Float64Array {
  const out = new Float64Array(ids.length * cols);
  for (let t = 0; t < ids.length; t++) {
    const id = Number(ids[t]);
    if (id < 0 || id >= vocab) continue;
    for (let c = 0; c < cols; c++) out[t * cols + c] = Number(table[id * cols + c]);
  }
  return out;
}

/** Gradient to the table for `dout` [T, cols]: every row of `dout` added to the row of its id. */
export function embeddingBackward(
  dout: ArrayLike<number>,
  ids: ArrayLike<number>,
  { vocab, cols }: { vocab: number; cols: number },
): Float64Array {
  const dtable = new Float64Array(vocab * cols);
  for (let t = 0; t < ids.length; t++) {
    const id = Number(ids[t]);
    if (id < 0 || id >= vocab) continue;
    for (let c = 0; c < cols; c++) {
      const at = id * cols + c;
      dtable[at] = Number(dtable[at]) + Number(dout[t * cols + c]);
    }
  }
  return dtable;
}

/** The links of `shaders/embedding-links.wgsl`: next occurrence of the same id (T when none), and 1 where none is earlier. */
export function embeddingLinks(ids: ArrayLike<number>): { next: Uint32Array; first: Uint32Array } {
  const tokens = ids.length;
  const next = new Uint32Array(tokens).fill(tokens);
  const first = new Uint32Array(tokens).fill(1);
  const last = new Map<number, number>();
  for (let t = 0; t < tokens; t++) {
    const id = Number(ids[t]);
    const before = last.get(id);
    if (before !== undefined) {
      next[before] = t;
      first[t] = 0;
    }
    last.set(id, t);
  }
  return { next, first };
}
