/**
 * Kernels of the embedding family: rows of a table by token id, and the table's gradient.
 *
 * A gradient takes two or three dispatches: links → (zero) → backward. Links depend on the ids only.
 */
import { type DeviceFacts, foldGrid, type KernelDispatch, paramWords } from "../gpu/dispatch.ts";

/** Sizes of an embedding. */
export interface EmbeddingShape {
  /** Ids looked up. */
  readonly tokens: number;
  /** Columns of the table, in numbers. */
  readonly cols: number;
  /** Rows of the table. */
  readonly vocab: number;
}

/** Positions that one lane of `embedding_links` owns. */
const LINKS_OWN = 8;

/**
 * Gather. Bindings: 1 ids u32 [tokens] · 2 table [vocab, cols] · 3 out [tokens, cols] · 4 status u32 [1].
 *
 * `status` is 0 when every id was in the table, else 1 + the largest position that was not (those rows are zeros). The
 * kernel only raises it: it must start at 0, and stays raised until the host clears it.
 * Params: rows, cols (in Elements), vocab.
 */
export function embeddingForward({ tokens, cols, vocab }: EmbeddingShape): KernelDispatch {
  const element = elementOf(cols);
  const { constants } = element.options;
  return {
    name: "embedding",
    entry: "embedding_forward",
    options: { constants: { ...constants, ElementTable: constants.Element } },
    params: paramWords([tokens, element.cols, vocab]),
    grid: rowGrid(tokens, element.cols),
  };
}

/** Entry points that make links: the first whose `supports` holds. */
export const EMBEDDING_LINKS_VARIANTS: readonly {
  readonly entry: string;
  readonly supports: (facts: DeviceFacts) => boolean;
  readonly groups: (tokens: number) => number;
}[] = [
  {
    entry: "embedding_links_workgroup",
    supports: (facts) => !facts.isSoftware,
    groups: (tokens) => Math.ceil(tokens / 64),
  },
  {
    entry: "embedding_links",
    supports: () => true,
    groups: (tokens) => Math.ceil(tokens / (8 * LINKS_OWN)),
  },
];

/** Where each id occurs next and first. Bindings: 1 ids u32 [tokens] · 2 links u32 [2, tokens]. Params: tokens. */
export function embeddingLinks(facts: DeviceFacts, tokens: number): KernelDispatch {
  const variant = EMBEDDING_LINKS_VARIANTS.find((v) => v.supports(facts));
  if (!variant) throw new Error("unreachable: the last variant runs everywhere");
  return {
    name: "embedding-links",
    entry: variant.entry,
    options: { constants: { OWN: LINKS_OWN } },
    params: paramWords([tokens]),
    grid: [variant.groups(tokens), 1, 1],
  };
}

/**
 * Gradient to the table. Bindings: 1 ids u32 [tokens] · 2 links u32 [2, tokens] · 3 dout [tokens, cols] · 4 dtable [vocab, cols].
 *
 * Without `isAccumulating` only the rows of ids that occur are written: run {@link embeddingZero} first.
 * Params: tokens, cols (in Elements), vocab, accumulate.
 */
export function embeddingBackward(
  shape: EmbeddingShape,
  options: { readonly isAccumulating: boolean },
): KernelDispatch {
  return backwardDispatch("embedding_backward", shape, shape.tokens, options.isAccumulating);
}

/** Zeros in all of dtable. Bindings and Params as {@link embeddingBackward}. */
export function embeddingZero(shape: EmbeddingShape): KernelDispatch {
  return backwardDispatch("embedding_zero", shape, shape.vocab, false);
}

function backwardDispatch(
  entry: string,
  { tokens, cols, vocab }: EmbeddingShape,
  rows: number,
  isAccumulating: boolean,
): KernelDispatch {
  const element = elementOf(cols);
  return {
    name: "embedding-backward",
    entry,
    options: element.options,
    params: paramWords([tokens, element.cols, vocab, isAccumulating ? 1 : 0]),
    grid: rowGrid(rows, element.cols),
  };
}

/** Rows of vec4s where they divide evenly: a lane then shares one id load among four columns. */
function elementOf(cols: number): {
  readonly cols: number;
  readonly options: { readonly constants: { readonly Element: string } };
} {
  const isWide = cols % 4 === 0;
  return {
    cols: isWide ? cols / 4 : cols,
    options: { constants: { Element: isWide ? "vec4<f32>" : "f32" } },
  };
}

function rowGrid(rows: number, cols: number): KernelDispatch["grid"] {
  return [Math.ceil(cols / 16), ...foldGrid(Math.ceil(rows / 4))];
}
