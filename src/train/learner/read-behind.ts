/** Results of a compiled function, read one call behind. */
import type { Tensor } from "../../../engine/index.ts";

/**
 * Calls `run` for each item, and `take` with the values of its result. The host prepares an item while the GPU is at the one
 * before; results come in order.
 *
 * Errors    what `run`, reading or `take` throws; nothing runs on behind it.
 */
export async function readBehind<T>(
  items: Iterable<T>,
  run: (item: T) => Promise<Tensor>,
  take: (item: T, values: Float32Array) => void,
): Promise<void> {
  let before: Promise<void> | undefined;
  for (const item of items) {
    const result = await run(item);
    // the copy is queued by now: the next call may overwrite the result
    const read = result.read().then((values) => take(item, values as Float32Array));
    read.catch(() => undefined); // reported below, unless something else fails first
    await before;
    before = read;
  }
  await before;
}
