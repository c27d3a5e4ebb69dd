/** Of an object these properties, as far as it has them: to be posted, which functions cannot be. */
export function pick<T extends object, K extends keyof T>(
  object: T,
  keys: readonly K[],
): Pick<T, K> {
  return Object.fromEntries(
    keys.flatMap((key) => (key in object ? [[key, object[key]]] : [])),
  ) as Pick<T, K>;
}
