/**
 * Generated reductions: an elementwise expression reduced over axes, with an elementwise epilogue on the result.
 *
 * Two forms of one text. `serial`: an invocation computes one output (or four neighbouring ones) in a loop; right for a
 * CPU driver, and on hardware when neighbouring outputs are neighbours in memory. `workgroup`: a workgroup computes one
 * output with a tree of fixed shape; right on hardware when the reduced elements are neighbours. Few outputs over many
 * elements are done in two stages. Every order is fixed, so results repeat bit for bit.
 */
import type { Device } from "../gpu/device.ts";
import type { DType } from "../tensor/dtype.ts";
import { contiguous, type Layout, mergeTogether } from "../tensor/layout.ts";
import { sizeOf } from "../tensor/shape.ts";
import { coordinateLines, type Expression, indexText, type Leaf, ParamFields, typeAt } from "./expression.ts";
import type { KernelCall, Operand, ReduceKind } from "./kernel.ts";
import { paramWords } from "../gpu/dispatch.ts";
import { libraryText } from "./library.ts";
import { LeafAccess, vectorWidth } from "./map-kernel.ts";

const WORKGROUP = 64;
/** A reduction with fewer outputs than this leaves lanes idle: split the reduced axis. */
const WANTED_OUTPUTS = 256;
/** Elements that one part of a split reduction sums at least. */
const MIN_PART = 256;

/** What to reduce. Layouts of `body` are over `shape`; those of `epilogue` over the output shape. */
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

/** The dispatches of a reduction; `scratch` gives memory for partial results. */
export function reduceKernels(
  device: Device,
  reduction: Reduction,
  scratch: (elements: number, dtype: DType) => Operand,
): KernelCall[] {
  const outer = reduction.shape.filter((_, i) => !reduction.axes.includes(i));
  const outputs = sizeOf(outer);
  const length = sizeOf(reduction.shape) / Math.max(1, outputs);
  const parts = Math.min(Math.ceil(WANTED_OUTPUTS / Math.max(1, outputs)), Math.ceil(length / MIN_PART));
  const accumulator = reduction.dtype === "f16" ? "f32" : reduction.dtype;
  if (parts <= 1) return [reduceCall(device, reduction, spaceOf(reduction), 1, length)];
  const partial = scratch(outputs * parts, accumulator);
  const first = { ...reduction, target: { ...partial, layout: contiguous([outputs, parts]) }, targetDtype: accumulator };
  const second = {
    outer: spaceOfPartials(reduction, parts),
    leaves: [{ layout: contiguous([outputs, parts]), dtype: accumulator, slot: partial.slot } satisfies Leaf],
  };
  return [
    reduceCall(device, first, spaceOf(reduction), parts, length, true),
    combineCall(device, reduction, second, parts, accumulator),
  ];
}

/** Iteration space of a reduction: merged outer and reduced axes and every layout's strides over both. */
interface Space {
  readonly outerSizes: number[];
  readonly reduceSizes: number[];
  /** Per body leaf: strides over outer then reduced axes. */
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

/** Layouts of output-shaped values keep reduced axes with size 1, so the same outer axes pick from them. */
function spaceOf(reduction: Reduction): Space {
  const all = reduction.shape.map((_, i) => i);
  const outerAxes = all.filter((i) => !reduction.axes.includes(i));
  const body = reduction.body.leaves.map((l) => l.layout);
  const after = [...reduction.epilogue.leaves.map((l) => l.layout), reduction.target.layout];
  const outer = mergeTogether([...body, ...after].map((l) => pick(l, outerAxes)));
  const inner = mergeTogether(
    body.length ? body.map((l) => pick(l, reduction.axes)) : [pick(contiguous(reduction.shape), reduction.axes)],
  );
  return {
    outerSizes: outer.shape,
    reduceSizes: inner.shape,
    bodyOuter: outer.strides.slice(0, body.length),
    bodyReduce: inner.strides.slice(0, body.length),
    epilogueOuter: outer.strides.slice(body.length),
  };
}

function spaceOfPartials(reduction: Reduction, parts: number): Space {
  const space = spaceOf(reduction);
  const strides: number[] = [];
  let stride = parts;
  for (let i = space.outerSizes.length - 1; i >= 0; i--) {
    strides[i] = stride;
    stride *= space.outerSizes[i] ?? 1;
  }
  return { ...space, reduceSizes: [parts], bodyOuter: [strides], bodyReduce: [[1]] };
}

const COMBINE: Record<ReduceKind, (a: string, b: string) => string> = {
  sum: (a, b) => `${a} + ${b}`,
  product: (a, b) => `${a} * ${b}`,
  max: (a, b) => `max(${a}, ${b})`,
  min: (a, b) => `min(${a}, ${b})`,
};

/** Neutral elements; WGSL may assume finite values, so the extremes of f32 stand for infinities. */
function neutral(kind: ReduceKind, dtype: DType): string {
  if (kind === "sum") return "0";
  if (kind === "product") return "1";
  const low = { f32: "-3.4028234e38", f16: "-65504.0", i32: "-2147483648", u32: "0" }[dtype];
  const high = { f32: "3.4028234e38", f16: "65504.0", i32: "2147483647", u32: "4294967295" }[dtype];
  return kind === "max" ? low : high;
}

interface BodyText {
  readonly leaves: readonly Leaf[];
  readonly libraries: readonly string[];
  readonly usesF16: boolean;
  text: Expression["text"];
}

function reduceCall(
  device: Device,
  reduction: Reduction,
  space: Space,
  parts: number,
  length: number,
  isPartial = false,
): KernelCall {
  return emit(device, reduction, space, reduction.body, parts, length, isPartial, reduction.dtype);
}

function combineCall(
  device: Device,
  reduction: Reduction,
  second: { outer: Space; leaves: readonly Leaf[] },
  parts: number,
  accumulator: DType,
): KernelCall {
  const body: BodyText = {
    leaves: second.leaves,
    libraries: [],
    usesF16: false,
    text: (_width, load) => ({ lines: [], result: load(second.leaves[0] as Leaf, 0) }),
  };
  return emit(device, reduction, second.outer, body, 1, parts, false, accumulator);
}

function emit(
  device: Device,
  reduction: Reduction,
  space: Space,
  body: BodyText,
  parts: number,
  length: number,
  isPartial: boolean,
  bodyDtype: DType,
): KernelCall {
  const { kind, target, epilogue } = reduction;
  const accumulator = bodyDtype === "f16" ? "f32" : bodyDtype;
  const offsets = body.leaves.map((l) => l.layout.offset);
  const chunk = Math.ceil(length / parts / 4) * 4;
  // four elements of the reduced axis at a time, when it is one contiguous axis for every leaf
  const canVector = space.reduceSizes.length === 1 && body.leaves.length > 0 && length % 4 === 0;
  const joined = body.leaves.map((_, i) => [...(space.bodyOuter[i] ?? []), ...(space.bodyReduce[i] ?? [])]);
  const width = canVector ? vectorWidth([...space.outerSizes, length], joined, offsets) : 1;
  const outputs = sizeOf(space.outerSizes);
  const useWorkgroup = !device.isSoftware && width === 4 && length >= WORKGROUP * 4;

  const params = new ParamFields();
  const count = params.u32(outputs * parts);
  const access = new LeafAccess(params, 2);
  const outerNames = space.outerSizes.map((_, i) => `o${i}`);
  const reduceNames = space.reduceSizes.map((_, i) => `r${i}`);
  const bodyText = body.text(
    width,
    (leaf, i) => {
      const outerStrides = space.bodyOuter[i] ?? [];
      const inner = (space.bodyReduce[i] ?? []).slice();
      return access.load(leaf, [...outerStrides, ...inner], [...outerNames, ...reduceNames], width);
    },
    (v, d) => params.scalar(v, d),
  );
  const accType = typeAt(accumulator, width);
  const targetElement = reduction.targetDtype;
  access.alias(target.slot, targetElement, "out");
  const epilogueText = isPartial
    ? { lines: [], result: "total" }
    : epilogue.text(
        1,
        (leaf, i) => access.load(leaf, space.epilogueOuter[i] ?? [], outerNames, 1),
        (v, d) => params.scalar(v, d),
        `${reduction.dtype}(total)`,
      );
  const place = isPartial
    ? "index"
    : indexText(space.epilogueOuter.at(-1) ?? [], outerNames, target.layout.offset, params);
  const sizes = space.reduceSizes.map((s, i) => (i === space.reduceSizes.length - 1 ? s / width : s));
  const limit = params.u32(length / width);
  const part = parts > 1 ? params.u32(parts) : "1u";
  const span = parts > 1 ? params.u32(chunk / width) : limit;
  const from = parts > 1 ? `(index % ${part}) * ${span}` : "0u";
  const loopBody = [
    ...coordinateLines("r", reduceNames, sizes, params),
    ...bodyText.lines,
    `acc = ${COMBINE[kind]("acc", `${accType}(${bodyText.result})`)};`,
  ].join("\n      ");
  const fold =
    width === 4
      ? `let total${useWorkgroup ? "_lane" : ""} = ${COMBINE[kind](COMBINE[kind]("acc.x", "acc.y"), COMBINE[kind]("acc.z", "acc.w"))};`
      : `let total${useWorkgroup ? "_lane" : ""} = acc;`;
  const start = `${accType}(${neutral(kind, accumulator)})`;
  const store = [...epilogueText.lines, `out[${place}] = ${targetElement}(${epilogueText.result});`].join("\n    ");
  const outerLines = coordinateLines(parts > 1 ? `index / ${part}` : "index", outerNames, space.outerSizes, params);
  const needsF16 = body.usesF16 || epilogue.usesF16 || targetElement === "f16";
  const head = `${needsF16 ? "enable f16;\n" : ""}struct Params { ${params.fields.join(", ")} }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> out: array<${targetElement}>;
${access.declarations.join("\n")}
${libraryText([...new Set([...body.libraries, ...epilogue.libraries])])}`;
  const text = { head, count, outerLines, start, from, span, limit, loopBody, fold, store, accType, accumulator, kind };
  const source = useWorkgroup ? workgroupText(text) : serialText(text);
  const invocations = outputs * parts;
  const groups = useWorkgroup ? invocations : Math.ceil(invocations / WORKGROUP);
  return {
    label: `reduce:${reduction.label}${isPartial ? ":part" : ""}`,
    name: "reduce",
    source,
    entry: "reduce",
    bindings: [target.slot, ...access.bindings],
    params: paramWords(params.values),
    grid: [Math.min(groups, 65535), Math.ceil(groups / 65535), 1],
    flops: outputs * length,
  };
}

interface TextParts {
  readonly head: string;
  readonly count: string;
  readonly outerLines: readonly string[];
  readonly start: string;
  readonly from: string;
  readonly span: string;
  readonly limit: string;
  readonly loopBody: string;
  readonly fold: string;
  readonly store: string;
  readonly accType: string;
  readonly accumulator: DType;
  readonly kind: ReduceKind;
}

function serialText(t: TextParts): string {
  return `${t.head}
@compute @workgroup_size(${WORKGROUP})
fn reduce(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = id.x + id.y * groups.x * ${WORKGROUP}u;
  if (index >= ${t.count}) { return; }
  ${t.outerLines.join("\n  ")}
  var acc = ${t.start};
  let first = ${t.from};
  let last = min(first + ${t.span}, ${t.limit});
  for (var r = first; r < last; r++) {
      ${t.loopBody}
  }
  ${t.fold}
  ${t.store}
}
`;
}

function workgroupText(t: TextParts): string {
  return `${t.head}
var<workgroup> lanes: array<${t.accumulator}, ${WORKGROUP}>;
@compute @workgroup_size(${WORKGROUP})
fn reduce(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = group.x + group.y * groups.x;
  if (index >= ${t.count}) { return; } // uniform: the whole workgroup leaves
  ${t.outerLines.join("\n  ")}
  var acc = ${t.start};
  let first = ${t.from};
  let last = min(first + ${t.span}, ${t.limit});
  for (var r = first + lane; r < last; r += ${WORKGROUP}u) {
      ${t.loopBody}
  }
  ${t.fold}
  lanes[lane] = total_lane;
  for (var half = ${WORKGROUP / 2}u; half > 0u; half >>= 1u) {
    workgroupBarrier(); // publishes lanes[] of the level before
    if (lane < half) { lanes[lane] = ${COMBINE[t.kind]("lanes[lane]", "lanes[lane + half]")}; }
  }
  if (lane == 0u) {
    let total = lanes[0];
    ${t.store}
  }
}
`;
}
