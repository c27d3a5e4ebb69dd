/** The text of generated reductions, and the operators they combine with. */
import type { DType } from "../tensor/dtype.ts";
import type { ReduceKind } from "./kernel.ts";

/** WGSL that combines two values. */
export const COMBINE: Readonly<Record<ReduceKind, (a: string, b: string) => string>> = {
  sum: (a, b) => `${a} + ${b}`,
  product: (a, b) => `${a} * ${b}`,
  max: (a, b) => `max(${a}, ${b})`,
  min: (a, b) => `min(${a}, ${b})`,
};

/** What values of a dtype are combined in: floats in f32. */
export function accumulatorOf(dtype: DType): "f32" | "i32" | "u32" {
  return dtype === "i32" || dtype === "u32" ? dtype : "f32";
}

/** Neutral elements; WGSL may assume finite values, so the extremes of a type stand for infinities. */
export function neutral(kind: ReduceKind, dtype: "f32" | "i32" | "u32"): string {
  if (kind === "sum") return "0";
  if (kind === "product") return "1";
  const low = { f32: "-3.4028234e38", i32: "-2147483648", u32: "0" }[dtype];
  const high = { f32: "3.4028234e38", i32: "2147483647", u32: "4294967295" }[dtype];
  return kind === "max" ? low : high;
}

/** Pieces of a reduction's text. */
export interface ReduceParts {
  readonly needsF16: boolean;
  readonly fields: readonly string[];
  /** Element type of the output array. */
  readonly element: string;
  readonly declarations: readonly string[];
  readonly lanes: number;
  /** Number of (output, part) pairs. */
  readonly count: string;
  /** Statements that find the output's coordinates from `index`. */
  readonly outer: readonly string[];
  /** First value of `acc`. */
  readonly start: string;
  /** Range of `r`: from `first`, `span` long, not beyond `limit`. */
  readonly first: string;
  readonly span: string;
  readonly limit: string;
  /** Statements that add element `r` to `acc`. */
  readonly body: readonly string[];
  /** Whether the four parts of `acc` belong to one output. */
  readonly folds: boolean;
  readonly kind: ReduceKind;
  readonly accumulator: DType;
  /** Statements that store `total`. */
  readonly store: readonly string[];
  readonly isWorkgroup: boolean;
}

/** The whole text. */
export function reduceText(parts: ReduceParts): string {
  const { kind } = parts;
  const combine = COMBINE[kind];
  const folded = parts.folds
    ? combine(combine("acc.x", "acc.y"), combine("acc.z", "acc.w"))
    : "acc";
  const head = `${parts.needsF16 ? "enable f16;\n" : ""}struct Params { ${parts.fields.join(", ")} }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> out: array<${parts.element}>;
${parts.declarations.join("\n")}`;
  const loop = (from: string, step: string): string => `var acc = ${parts.start};
  let first = ${parts.first};
  let last = min(first + ${parts.span}, ${parts.limit});
  for (var r = ${from}; r < last; r += ${step}) {
    ${parts.body.join("\n    ")}
  }`;
  if (!parts.isWorkgroup) {
    return `${head}
@compute @workgroup_size(${parts.lanes})
fn reduce(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = id.x + id.y * groups.x * ${parts.lanes}u;
  if (index >= ${parts.count}) { return; }
  ${parts.outer.join("\n  ")}
  ${loop("first", "1u")}
  let total = ${folded};
  ${parts.store.join("\n  ")}
}
`;
  }
  return `${head}
var<workgroup> lanes: array<${parts.accumulator}, ${parts.lanes}>;
@compute @workgroup_size(${parts.lanes})
fn reduce(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = group.x + group.y * groups.x;
  if (index >= ${parts.count}) { return; } // uniform: the whole workgroup leaves
  ${parts.outer.join("\n  ")}
  ${loop("first + lane", `${parts.lanes}u`)}
  lanes[lane] = ${folded};
  for (var half = ${parts.lanes / 2}u; half > 0u; half >>= 1u) {
    workgroupBarrier(); // publishes lanes[] of the level before
    if (lane < half) { lanes[lane] = ${combine("lanes[lane]", "lanes[lane + half]")}; }
  }
  if (lane == 0u) {
    let total = lanes[0];
    ${parts.store.join("\n    ")}
  }
}
`;
}
