/** How a model's parameters lie in the tensors of a checkpoint. */
import { namedStates } from "../nn/module.ts";
import type { Transformer } from "../nn/transformer.ts";
import type { State } from "../tensor/state.ts";
import type { NameMap } from "./names.ts";
import type { CheckpointIndex, CheckpointTensor } from "./shards.ts";

/** One tensor of a checkpoint: some columns of a parameter. */
export interface TensorPart {
  /** Its name. */
  readonly name: string;
  /** Its name in checkpoints that leave the prefix out. */
  readonly shortName: string;
  /** A second name for the same values: the head's for a table that is also the head. */
  readonly tiedName?: string;
  /** Its shape there. */
  readonly shape: readonly number[];
  /** First column of the parameter, and how many. */
  readonly start: number;
  readonly columns: number;
}

/** A parameter and the tensors that it is made of. */
export interface ParameterParts {
  readonly state: State;
  readonly parts: readonly TensorPart[];
  /** Whether the tensors are [columns, rows] of a parameter [rows, columns]. */
  readonly isTransposed: boolean;
}

/** The tensors of each parameter, in the order of `namedStates`. */
export function parameterParts(model: Transformer, names: NameMap): ParameterParts[] {
  const { isTied = true } = model.options;
  return [...namedStates(model)].map(([path, state]) => {
    // the head is a state of the model itself, all others are those of a layer
    const [module, leaf] = path === "head" ? ["head", "weight"] : splitLast(path);
    const isMatrix = leaf === "weight" && /\.(qkv|output|gateUp|up|down)$/.test(module);
    const isTransposed = isMatrix && names.isTransposed;
    const theirs = moduleNames(names, module);
    const widths = widthsOf(model, module, state, theirs.length);
    let start = 0;
    const parts = theirs.map((name, i): TensorPart => {
      const columns = widths[i] as number;
      const lead = state.shape.slice(0, -1);
      const part = {
        ...{ name: `${name}.${leaf}`, shortName: `${withoutPrefix(name, names)}.${leaf}` },
        ...(isTied && module === "embedding" ? { tiedName: headName(names) } : {}),
        shape: isTransposed ? [columns, ...lead] : [...lead, columns],
        ...{ start, columns },
      };
      start += columns;
      return part;
    });
    return { state, parts, isTransposed };
  });
}

/** The tensors of a checkpoint that hold a part: none, one, or with a tied name two of the same values. */
export function tensorsOf(
  { tensors }: CheckpointIndex,
  { name, shortName, tiedName }: Pick<TensorPart, "name" | "shortName" | "tiedName">,
): CheckpointTensor[] {
  const own = tensors.get(name) ?? tensors.get(shortName);
  const tied = tiedName === undefined ? undefined : tensors.get(tiedName);
  return [own, tied].filter((tensor) => tensor !== undefined);
}

/** The tensors of embedding and head in a checkpoint that has both. */
export function embeddingAndHead(
  checkpoint: CheckpointIndex,
  names: NameMap,
): readonly CheckpointTensor[] {
  const [name] = moduleNames(names, "embedding") as [string];
  return tensorsOf(checkpoint, {
    name: `${name}.weight`,
    shortName: `${withoutPrefix(name, names)}.weight`,
    tiedName: headName(names),
  });
}

function headName(names: NameMap): string {
  return `${moduleNames(names, "head")[0]}.weight`;
}

/** Their modules for one of ours, in full. */
function moduleNames({ modules, prefix }: NameMap, module: string): string[] {
  const layer = /^layers\.(\d+)\./.exec(module)?.[1] ?? "";
  const theirs = modules[module.replace(/^layers\.\d+\./, "layers.#.")] ?? [];
  return theirs.map((name) => (module === "head" ? name : prefix + name.replace("#", layer)));
}

function withoutPrefix(name: string, { prefix }: NameMap): string {
  return name.startsWith(prefix) ? name.slice(prefix.length) : name;
}

function splitLast(path: string): [module: string, leaf: string] {
  const dot = path.lastIndexOf(".");
  return [path.slice(0, dot), path.slice(dot + 1)];
}

/** Widths of the projections that stand side by side in a parameter. */
function widthsOf(
  { options }: Transformer,
  module: string,
  { shape }: State,
  count: number,
): number[] {
  const all = shape.at(-1) as number;
  if (!module.endsWith(".qkv") || count === 1) {
    return Array.from({ length: count }, () => all / count);
  }
  const { heads, kvHeads = heads, headDim = options.width / heads } = options;
  return [heads, kvHeads, kvHeads].map((n) => n * headDim);
}
