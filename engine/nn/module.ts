/**
 * What makes an object a model: its properties. A layer is a class with states and a `forward`; a model holds layers.
 * Nothing is registered: parameters are found by walking the properties, and named by the way there.
 */
import { State } from "../tensor/state.ts";
import { Tensor } from "../tensor/tensor.ts";

/**
 * Trainable states of a model by their path, such as `blocks.0.attention.qkv.weight`, in the order of the properties.
 *
 * A state found twice (tied weights) counts once, at its first path. A state without a name takes its path as name. Those
 * that the model has borrowed ({@link borrowStates}) are left out: it does not train them.
 */
export function namedParameters(model: object): Map<string, State> {
  return named(model, (isBorrowed) => !isBorrowed);
}

/** Trainable states of a model, each once: what optimizers take. See {@link namedParameters}. */
export function parametersOf(model: object): State[] {
  return [...namedParameters(model).values()];
}

/** As {@link namedParameters}, with those that are borrowed. */
export function namedStates(model: object): Map<string, State> {
  return named(model, () => true);
}

function named(model: object, isWanted: (isBorrowed: boolean) => boolean): Map<string, State> {
  const paths = new Map<State, string>();
  walk(model, (state, path, isBorrowed) => {
    if (!isWanted(isBorrowed) || paths.has(state)) return;
    if (state.name === "") state.name = path;
    paths.set(state, path);
  });
  return new Map([...paths].map(([state, path]) => [path, state]));
}

/** States that belong to another model, by the models that hold them nevertheless. */
const borrowers = new WeakMap<object, ReadonlySet<State>>();

/**
 * Puts the states of a model in the places of those of another, made with the same options: they share them from then on,
 * whatever either changes. The borrower neither trains them nor frees them.
 */
export function borrowStates(borrower: object, lender: object): void {
  const theirs = namedStates(lender);
  const own = [...namedStates(borrower)];
  const lentFor = new Map(own.map(([path, state]) => [state, theirs.get(path) ?? state]));
  replaceStates(borrower, lentFor);
  borrowers.set(borrower, new Set(lentFor.values()));
}

/**
 * Puts other states in the places of those of a model, tied ones in all of theirs. Layers declare them readonly: nobody has
 * used the model yet.
 */
export function replaceStates(model: object, substitutes: ReadonlyMap<State, State>): void {
  walk(model, (state, _path, _isBorrowed, holder, key) => {
    Object.assign(holder, { [key]: substitutes.get(state) ?? state });
  });
}

type Visit = (state: State, path: string, isBorrowed: boolean, holder: object, key: string) => void;

/** Visits every property of a model that is a trainable state: that of tied weights once for each place. */
function walk(model: object, visit: Visit): void {
  const seen = new Set<object>();
  const into = (holder: object, path: string, lent: ReadonlySet<State>): void => {
    seen.add(holder);
    const borrowed = borrowers.get(holder) ?? lent;
    for (const [key, part] of Object.entries(holder)) {
      const at = path ? `${path}.${key}` : key;
      if (part instanceof State) {
        if (part.isTrainable) visit(part, at, borrowed.has(part), holder, key);
      } else if (isObject(part) && !seen.has(part)) into(part, at, borrowed);
    }
  };
  into(model, "", new Set());
}

/** Whether states may lie in it: numbers of the host and constant tensors are skipped. */
function isObject(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  return !ArrayBuffer.isView(value) && !(value instanceof Tensor);
}
