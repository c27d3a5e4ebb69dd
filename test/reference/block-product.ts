/** Products with a matrix of blocks in f64, by the definition: what engine/ops/block-product.ts is checked against. */

/** weight [columns, width] at column `start` of the result. */
export interface Block {
  readonly weight: ArrayLike<number>;
  readonly columns: number;
  readonly width: number;
  readonly start: number;
}

/** Calls `visit` with every product: of element `x` of x and `w` of block `block`, summed into element `y`. */
function eachProduct(
  rows: number,
  blocks: readonly Block[],
  columns: number,
  visit: (x: number, block: number, w: number, y: number) => void,
): void {
  const inner = blocks.reduce((sum, b) => sum + b.width, 0);
  let from = 0;
  blocks.forEach(({ columns: n, width, start }, block) => {
    for (let row = 0; row < rows; row++)
      for (let c = 0; c < n; c++)
        for (let k = 0; k < width; k++)
          visit(row * inner + from + k, block, c * width + k, row * columns + start + c);
    from += width;
  });
}

/** x [rows, Σ width] → [rows, columns]. */
export function blockProductForward(
  x: ArrayLike<number>,
  rows: number,
  blocks: readonly Block[],
  columns: number,
): Float64Array {
  const y = new Float64Array(rows * columns);
  eachProduct(rows, blocks, columns, (ix, block, iw, iy) => {
    y[iy] = (y[iy] ?? 0) + (x[ix] ?? 0) * (blocks[block]?.weight[iw] ?? 0);
  });
  return y;
}

/** Gradients of x and of each weight, given that of y. */
export function blockProductBackward(
  x: ArrayLike<number>,
  rows: number,
  blocks: readonly Block[],
  columns: number,
  dy: ArrayLike<number>,
): { dx: Float64Array; dweights: Float64Array[] } {
  const dx = new Float64Array(x.length);
  const dweights = blocks.map((b) => new Float64Array(b.weight.length));
  eachProduct(rows, blocks, columns, (ix, block, iw, iy) => {
    const dweight = dweights[block] as Float64Array;
    dx[ix] = (dx[ix] ?? 0) + (dy[iy] ?? 0) * (blocks[block]?.weight[iw] ?? 0);
    dweight[iw] = (dweight[iw] ?? 0) + (dy[iy] ?? 0) * (x[ix] ?? 0);
  });
  return { dx, dweights };
}
