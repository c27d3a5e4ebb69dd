/** Arguments and results of compiled functions: nested arrays and objects of tensors and numbers. */
import { ForgeError } from "../error.ts";
import { stateOf } from "../tensor/state.ts";
import { Tensor } from "../tensor/tensor.ts";

/** A tensor, a number (a f32 scalar that is data, not part of the plan), or nested objects and arrays of them. */
export type Tree = Tensor | number | readonly Tree[] | { readonly [key: string]: Tree } | undefined;

/** A tensor or number of a tree, and what it adds to the signature. */
export interface TreeLeaf {
  readonly value: Tensor | number;
  readonly signature: string;
}

/** The leaves of a tree in order. Errors: `compile_argument` for anything that is no tensor, number or container. */
export function flattenTree(tree: Tree, label: string, path = "arguments"): TreeLeaf[] {
  if (tree === undefined) return [];
  if (typeof tree === "number") return [{ value: tree, signature: `${path}:f32` }];
  if (tree instanceof Tensor) {
    // a state denotes itself, whatever its value: it is part of the function, not an argument
    const state = stateOf(tree);
    const identity = state ? `#${tree.node.id}` : "";
    return [{ value: tree, signature: `${path}:${tree.dtype}[${tree.shape.join()}]${identity}` }];
  }
  if (isContainer(tree)) {
    return Object.entries(tree as Record<string, Tree>).flatMap(([k, v]) =>
      flattenTree(v, label, `${path}.${k}`),
    );
  }
  const kind =
    typeof tree === "object" ? ((tree as object | null)?.constructor.name ?? "null") : typeof tree;
  throw new ForgeError({
    code: "compile_argument",
    what: `${label}: a value that goes in or out is no tensor.`,
    got: `${path} is ${kind}`,
    why: "compiled functions take and return tensors, numbers, and plain objects and arrays of them",
    fix: "wrap host data with tensor(data), and close over everything else",
  });
}

/** Arrays and plain objects; typed arrays, promises and class instances are none. */
function isContainer(tree: unknown): boolean {
  if (typeof tree !== "object" || tree === null) return false;
  const prototype: unknown = Object.getPrototypeOf(tree);
  return Array.isArray(tree) || prototype === Object.prototype || prototype === null;
}

/** The same tree with other leaves, visited in the order of {@link flattenTree}. */
export function mapTree(tree: Tree, leaf: (value: Tensor | number) => Tree): Tree {
  if (tree === undefined || typeof tree === "number" || tree instanceof Tensor) {
    return tree === undefined ? undefined : leaf(tree);
  }
  if (Array.isArray(tree)) return tree.map((t: Tree) => mapTree(t, leaf));
  return Object.fromEntries(Object.entries(tree).map(([k, v]) => [k, mapTree(v, leaf)]));
}
