/**
 * Epilogues: an elementwise expression written into the `store` hook of a hand-written kernel.
 */
import { contiguous, type Layout, mergeAxes, move } from "../tensor/layout.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type Expression, indexText, ParamFields } from "./expression.ts";
import type { Epilogue, Operand } from "./kernel.ts";
import { LeafAccess, vectorWidth } from "./map-kernel.ts";

/** Thrown when an expression can not be an epilogue of `anchor`. */
export class NotFusible extends Error {
  readonly anchor: Tensor;
  constructor(anchor: Tensor) {
    super("not fusible");
    this.anchor = anchor;
  }
}

/** First binding after those of the kernels with a store hook (uniform, two inputs, one output). */
const FIRST_BINDING = 4;

/**
 * The epilogue of a kernel that stores a matrix (or a batch of them).
 *
 * Errors    {@link NotFusible} when a leaf has no layout over (batch, row, column).
 */
export function makeEpilogue(expression: Expression, anchor: Tensor, target: Operand): Epilogue {
  const layouts = expression.leaves.map((leaf) => asMatrix(leaf.layout, anchor));
  const place = asMatrix(contiguous(target.layout.shape), anchor);
  const columns = anchor.shape.at(-1) ?? 1;
  const all = [...layouts, place];
  const strides = all.map((l) => l.strides);
  const offsets = all.map((l) => l.offset);
  return {
    isVector: vectorWidth([1, 1, columns], strides, offsets) === 4,
    at: (width) => {
      const params = new ParamFields();
      const access = new LeafAccess(params, FIRST_BINDING);
      const hook = hookText(expression, layouts, place, params, access, width);
      const declarations = access.declarations.join("\n");
      return {
        fields: params.fields,
        values: params.values,
        declarations,
        bindings: access.bindings,
        hook,
        usesF16: expression.usesF16,
      };
    },
  };
}

/** A layout over [batch, rows, columns]. */
function asMatrix(layout: Layout, anchor: Tensor): Layout {
  const shape = anchor.shape;
  const full = move(layout, { kind: "reshape", shape });
  if (!full) throw new NotFusible(anchor);
  const lead = shape.length - 2;
  const batch = mergeAxes({
    shape: shape.slice(0, lead),
    strides: full.strides.slice(0, lead),
    offset: 0,
  });
  if (batch.length > 1) throw new NotFusible(anchor);
  return {
    shape: [batch[0]?.size ?? 1, shape[lead] ?? 1, shape[lead + 1] ?? 1],
    strides: [batch[0]?.stride ?? 0, full.strides[lead] ?? 0, full.strides[lead + 1] ?? 0],
    offset: full.offset,
  };
}

function hookText(
  expression: Expression,
  layouts: readonly Layout[],
  place: Layout,
  params: ParamFields,
  access: LeafAccess,
  width: 1 | 4,
): string {
  const coordinates = ["batch", "row", width === 4 ? "column" : "col"];
  const { lines, result } = expression.text(
    width,
    (leaf, i, at) => {
      const layout = layouts[i] as Layout;
      return access.load({ ...leaf, layout }, layout.strides, coordinates, width, at);
    },
    (v, d) => params.scalar(v, d),
    "value",
  );
  const strides = place.strides.map((s, i) => (i === 2 ? s : s / width));
  const type = width === 4 ? "vec4f" : "f32";
  const name = width === 4 ? "store4" : "store";
  const head = width === 4 ? ["let column = col / 4u;"] : [];
  const store = `c[${indexText(strides, coordinates, place.offset / width, params)}] = ${type}(${result});`;
  return `fn ${name}(batch: u32, row: u32, col: u32, value: ${type}) {
  ${[...head, ...lines, store].join("\n  ")}
}`;
}
