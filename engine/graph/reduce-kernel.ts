/**
 * Generated reductions: an elementwise expression reduced over axes, with an elementwise epilogue on the result.
 *
 * Four elements are handled at a time where layouts allow: neighbours *along* the reduced axis, or *across* outputs.
 * An invocation computes its outputs in a loop; on hardware a workgroup computes one output along a long contiguous axis,
 * with a tree of fixed shape. Few outputs over many elements are done in two stages. Every order is fixed by shapes and
 * adapter, so results repeat bit for bit.
 */
import type { Device } from "../gpu/device.ts";
import { foldGrid, paramWords } from "../gpu/dispatch.ts";
import type { DType } from "../tensor/dtype.ts";
import { contiguous, type Layout, mergeTogether } from "../tensor/layout.ts";
import { sizeOf } from "../tensor/shape.ts";
import {
  coordinateLines,
  type Expression,
  indexText,
  type Leaf,
  ParamFields,
  typeAt,
} from "./expression.ts";
import type { KernelCall, Operand, ReduceKind } from "./kernel.ts";
import { LeafAccess, vectorWidth } from "./map-kernel.ts";
import { accumulatorOf, COMBINE, neutral, reduceText } from "./reduce-text.ts";

/** Lanes that fill an adapter, the fewest elements that one part of a split reduction takes, and lanes of a workgroup. */
const SPLIT = {
  hardware: { lanes: 16_384, part: 32, workgroup: 64 },
  software: { lanes: 64, part: 256, workgroup: 16 },
} as const;

/** What to reduce. Layouts of `body` are over `shape`; those of `epilogue` and `target` over the shape with reduced axes of size 1. */
export interface Reduction {
  readonly label: string;
  readonly kind: ReduceKind;
  readonly shape: readonly number[];
  readonly axes: readonly number[];
  /** dtype of the reduced values. */
  readonly dtype: DType;
  readonly body: Expression;
  /** Applied to each result; its anchor is the reduced value. */
  readonly epilogue: Expression;
  readonly target: Operand;
  readonly targetDtype: DType;
}

/** What both stages of a reduction are written from. */
interface Stage {
  readonly label: string;
  readonly kind: ReduceKind;
  /** dtype of the reduced elements, and of the result that the epilogue sees. */
  readonly dtype: DType;
  readonly resultDtype: DType;
  readonly space: Space;
  readonly leaves: readonly Leaf[];
  readonly text: Expression["text"];
  readonly epilogue: Expression | undefined;
  readonly epilogueLeaves: readonly Leaf[];
  readonly target: Operand;
  readonly targetDtype: DType;
  readonly usesF16: boolean;
  /** Into how many parts the reduced axis is cut; the target is then [parts, outputs]. */
  readonly parts: number;
  /** Handles one element at a time, whatever the layouts allow. */
  readonly isScalar?: boolean;
}

/** The dispatches of a reduction; `scratch` gives memory for partial results. */
export function reduceKernels(
  device: Device,
  reduction: Reduction,
  scratch: (elements: number, dtype: DType) => Operand,
): KernelCall[] {
  const { body, epilogue, kind, dtype, label } = reduction;
  const space = spaceOf(reduction);
  const outputs = sizeOf(space.outerSizes);
  const length = sizeOf(space.reduceSizes);
  const accumulator = accumulatorOf(dtype);
  const whole: Stage = {
    label,
    kind,
    dtype,
    resultDtype: dtype,
    space,
    leaves: body.leaves,
    text: (...args) => body.text(...args),
    epilogue,
    epilogueLeaves: epilogue.leaves,
    target: reduction.target,
    targetDtype: reduction.targetDtype,
    usesF16: body.usesF16 || epilogue.usesF16,
    parts: 1,
  };
  const parts = partsOf(device, whole, outputs, length);
  if (parts <= 1) return [emit(device, whole)];
  const partial = scratch(outputs * parts, accumulator);
  const leaf: Leaf = {
    layout: contiguous([outputs, parts]),
    dtype: accumulator,
    slot: partial.slot,
  };
  const first: Stage = {
    ...whole,
    label: `${label}:part`,
    parts,
    epilogue: undefined,
    target: partial,
    targetDtype: accumulator,
  };
  const second: Stage = {
    ...whole,
    dtype: accumulator,
    space: {
      ...space,
      reduceSizes: [parts],
      bodyOuter: [outerStrides(space)],
      bodyReduce: [[outputs]],
    },
    leaves: [leaf],
    text: (_width, load) => ({ lines: [], result: load(leaf, 0) }),
    usesF16: epilogue.usesF16,
  };
  return [emit(device, first), emit(device, second)];
}

function partsOf(device: Device, stage: Stage, outputs: number, length: number): number {
  const limits = device.isSoftware ? SPLIT.software : SPLIT.hardware;
  const { mode } = widthOf(stage);
  const lanes = mode === "across" ? outputs / 4 : outputs;
  return Math.min(Math.ceil(limits.lanes / Math.max(1, lanes)), Math.ceil(length / limits.part));
}

/** Iteration space of a reduction: merged outer and reduced axes and every layout's strides over both. */
interface Space {
  readonly outerSizes: number[];
  readonly reduceSizes: number[];
  /** Per body leaf: strides over outer and over reduced axes. */
  readonly bodyOuter: number[][];
  readonly bodyReduce: number[][];
  /** Per epilogue leaf, then the target: strides over outer axes. */
  readonly epilogueOuter: number[][];
}

function pick(layout: Layout, axes: readonly number[]): Layout {
  return {
    shape: axes.map((a) => layout.shape[a] ?? 1),
    strides: axes.map((a) => layout.strides[a] ?? 0),
    offset: layout.offset,
  };
}

function spaceOf(reduction: Reduction): Space {
  const { shape, axes } = reduction;
  const outerAxes = shape.map((_, i) => i).filter((i) => !axes.includes(i));
  const body = reduction.body.leaves.map((l) => l.layout);
  const after = [...reduction.epilogue.leaves.map((l) => l.layout), reduction.target.layout];
  const outer = mergeTogether([...body, ...after].map((l) => pick(l, outerAxes)));
  const inner = mergeTogether((body.length ? body : [contiguous(shape)]).map((l) => pick(l, axes)));
  return {
    outerSizes: outer.shape,
    reduceSizes: inner.shape,
    bodyOuter: outer.strides.slice(0, body.length),
    bodyReduce: inner.strides.slice(0, body.length),
    epilogueOuter: outer.strides.slice(body.length),
  };
}

function outerStrides({ outerSizes }: Space): number[] {
  const strides: number[] = [];
  let stride = 1;
  for (let i = outerSizes.length - 1; i >= 0; i--) {
    strides[i] = stride;
    stride *= outerSizes[i] ?? 1;
  }
  return strides;
}

type Mode = "along" | "across" | "scalar";

/** Which four elements are handled at a time. */
function widthOf(stage: Stage): { mode: Mode; width: 1 | 4 } {
  if (stage.isScalar) return { mode: "scalar", width: 1 };
  const { space, leaves } = stage;
  const { outerSizes, reduceSizes, bodyOuter, bodyReduce } = space;
  const offsets = leaves.map((l) => l.layout.offset);
  const pairs = leaves.map((_, i) => [bodyOuter[i] ?? [], bodyReduce[i] ?? []] as const);
  const along = pairs.map(([o, r]) => [...o, ...r]);
  const canSum = leaves.length > 0 && reduceSizes.length === 1;
  if (canSum && vectorWidth([...outerSizes, ...reduceSizes], along, offsets) === 4)
    return { mode: "along", width: 4 };
  const results = [...stage.epilogueLeaves.map((l) => l.layout.offset), stage.target.layout.offset];
  const across = [
    ...pairs.map(([o, r]) => [...r, ...o]),
    ...space.epilogueOuter.map((o) => [...reduceSizes.map(() => 0), ...o]),
  ];
  const canSpread =
    leaves.length > 0 &&
    vectorWidth([...reduceSizes, ...outerSizes], across, [...offsets, ...results]) === 4;
  return canSpread ? { mode: "across", width: 4 } : { mode: "scalar", width: 1 };
}

function emit(device: Device, stage: Stage): KernelCall {
  const { space, kind, target, parts, epilogue } = stage;
  const accumulator = accumulatorOf(stage.dtype);
  const { mode, width } = widthOf(stage);
  const outWidth = mode === "across" ? 4 : 1;
  const reduceWidth = mode === "along" ? 4 : 1;
  const scaled = (sizes: readonly number[], by: number): number[] =>
    sizes.map((s, i) => (i === sizes.length - 1 ? s / by : s));
  const outerSizes = scaled(space.outerSizes, outWidth);
  const reduceSizes = scaled(space.reduceSizes, reduceWidth);
  const outputs = sizeOf(outerSizes);
  const length = sizeOf(reduceSizes);
  const chunk = Math.ceil(length / parts);
  const isWorkgroup = !device.isSoftware && mode === "along" && chunk >= 64;

  const params = new ParamFields();
  const access = new LeafAccess(params, 2);
  const element = typeAt(stage.targetDtype, outWidth);
  access.alias(target.slot, element, "out");
  const count = params.u32(outputs * parts);
  const outerNames = outerSizes.map((_, i) => `o${i}`);
  const reduceNames = reduceSizes.map((_, i) => `r${i}`);
  const body = stage.text(
    width,
    (leaf, i, at) => {
      const outer = space.bodyOuter[i] ?? [];
      const inner = space.bodyReduce[i] ?? [];
      // the axis that is walked four at a time comes last
      return mode === "across"
        ? access.load(leaf, [...inner, ...outer], [...reduceNames, ...outerNames], width, at)
        : access.load(leaf, [...outer, ...inner], [...outerNames, ...reduceNames], width, at);
    },
    (v, d) => params.scalar(v, d),
  );
  const accumulatorType = typeAt(accumulator, width);
  const after = epilogue
    ? epilogue.text(
        outWidth,
        (leaf, i, at) => access.load(leaf, space.epilogueOuter[i] ?? [], outerNames, outWidth, at),
        (v, d) => params.scalar(v, d),
        `${typeAt(stage.resultDtype, outWidth)}(total)`,
      )
    : { lines: [], result: "total" };
  // a slot that is read in fours and one by one is bound twice: at width 1 it is bound once
  const isFull = access.bindings.length >= device.limits.maxStorageBuffersPerShaderStage;
  if (isFull && width === 4) return emit(device, { ...stage, isScalar: true });
  const placeStrides = scaled(
    (space.epilogueOuter.at(-1) ?? []).map((s) => s / outWidth),
    1 / outWidth,
  );
  const place = epilogue
    ? indexText(placeStrides, outerNames, target.layout.offset / outWidth, params)
    : "index";
  const limit = params.u32(length);
  const outputCount = parts > 1 ? params.u32(outputs) : "";
  const span = parts > 1 ? params.u32(chunk) : limit;
  const source = reduceText({
    needsF16: stage.usesF16 || stage.targetDtype === "f16",
    fields: params.fields,
    element,
    declarations: access.declarations,
    lanes: isWorkgroup
      ? SPLIT.hardware.workgroup
      : (device.isSoftware ? SPLIT.software : SPLIT.hardware).workgroup,
    count,
    outer: coordinateLines(
      parts > 1 ? `index % ${outputCount}` : "index",
      outerNames,
      outerSizes,
      params,
    ),
    start: `${accumulatorType}(${neutral(kind, accumulator)})`,
    first: parts > 1 ? `(index / ${outputCount}) * ${span}` : "0u",
    span,
    limit,
    body: [
      ...coordinateLines("r", reduceNames, reduceSizes, params),
      ...body.lines,
      `acc = ${COMBINE[kind]("acc", `${accumulatorType}(${body.result})`)};`,
    ],
    folds: mode === "along",
    kind,
    accumulator,
    store: [...after.lines, `out[${place}] = ${element}(${after.result});`],
    isWorkgroup,
  });
  const lanes = isWorkgroup ? 1 : (device.isSoftware ? SPLIT.software : SPLIT.hardware).workgroup;
  return {
    label: `reduce:${stage.label}`,
    name: "reduce",
    source,
    entry: "reduce",
    bindings: [target.slot, ...access.bindings],
    params: paramWords(params.values),
    grid: [...foldGrid(Math.ceil((outputs * parts) / lanes)), 1],
    flops: sizeOf(space.outerSizes) * sizeOf(space.reduceSizes),
  };
}
