/**
 * What makes an object a model: its properties. A layer is a class with states and a `forward`; a model holds layers.
 * Nothing is registered: parameters are found by walking the properties, and named by the way there.
 */
import { State } from "../tensor/state.ts";
import { Tensor } from "../tensor/tensor.ts";

/**
 * Trainable states of a model by their path, such as `blocks.0.attention.qkv.weight`, in the order of the properties.
 *
 * A state found twice (tied weights) counts once, at its first path. A state without a name takes its path as name.
 */
export function namedParameters(model: object): Map<string, State> {
  const found = new Map<string, State>();
  const seen = new Set<object>();
  const walk = (value: unknown, path: string): void => {
    if (typeof value !== "object" || value === null || seen.has(value)) return;
    if (ArrayBuffer.isView(value) || (value instanceof Tensor && !(value instanceof State))) return;
    seen.add(value);
    if (value instanceof State) {
      if (!value.isTrainable) return;
      if (value.name === "") value.name = path;
      found.set(path, value);
      return;
    }
    for (const [key, part] of Object.entries(value)) walk(part, path ? `${path}.${key}` : key);
  };
  walk(model, "");
  return found;
}

/** Trainable states of a model, each once: what optimizers take. See {@link namedParameters}. */
export function parametersOf(model: object): State[] {
  return [...namedParameters(model).values()];
}
