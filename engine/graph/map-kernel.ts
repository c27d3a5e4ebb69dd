/**
 * Generated elementwise kernels: one pass over an iteration space, four elements at a time where layouts allow.
 */
import type { Device } from "../gpu/device.ts";
import { paramWords } from "../gpu/dispatch.ts";
import { type DType, heldOnly, isHeldOnly } from "../tensor/dtype.ts";
import { type Layout, mergeTogether } from "../tensor/layout.ts";
import { sizeOf } from "../tensor/shape.ts";
import {
  coordinateLines,
  type Expression,
  indexText,
  type Leaf,
  ParamFields,
  typeAt,
} from "./expression.ts";
import type { KernelCall, Operand, Slot } from "./kernel.ts";
import { packedType, unpacked } from "./packing.ts";
import { homeOf } from "./slot.ts";

const WORKGROUP = 64;
/** Enough workgroups to fill any GPU; beyond that each invocation loops. A CPU driver pays per workgroup. */
const MAX_GROUPS = { hardware: 8192, software: 128 };

/** Largest width at which every layout can be walked: 4 when the innermost axis is contiguous or repeated everywhere. */
export function vectorWidth(
  sizes: readonly number[],
  strides: readonly (readonly number[])[],
  offsets: readonly number[],
): 1 | 4 {
  const inner = sizes.length - 1;
  if ((sizes[inner] ?? 1) % 4 !== 0) return 1;
  const fits = strides.every((s, n) => {
    if (s[inner] === 0) return true;
    return (
      s[inner] === 1 && (offsets[n] ?? 0) % 4 === 0 && s.slice(0, inner).every((x) => x % 4 === 0)
    );
  });
  return fits ? 4 : 1;
}

/** How one leaf is declared and loaded, at a width. */
export class LeafAccess {
  readonly declarations: string[] = [];
  readonly bindings: Slot[] = [];
  readonly #params: ParamFields;
  readonly #slots = new Map<string, string>();
  readonly #firstBinding: number;

  constructor(params: ParamFields, firstBinding: number) {
    this.#params = params;
    this.#firstBinding = firstBinding;
  }

  /** Registers a binding, or returns the one that the same slot has at the same element type. */
  #bind(slot: Slot, element: string): string {
    const key = `${slot.id}:${element}`;
    let name = this.#slots.get(key);
    if (!name) {
      const binding = this.#firstBinding + this.bindings.length;
      name = `in${binding}`;
      this.declarations.push(
        `@group(0) @binding(${binding}) var<storage, read> ${name}: array<${element}>;`,
      );
      this.bindings.push(slot);
      this.#slots.set(key, name);
    }
    return name;
  }

  /** Makes `slot` read through an existing read_write binding (an in-place update). */
  alias(slot: Slot, element: string, name: string): void {
    this.#slots.set(`${slot.id}:${element}`, name);
  }

  /** WGSL of what lies at an index of a slot, counted in steps of `width`; out of packed words in f32. */
  #element(slot: Slot, dtype: DType, width: 1 | 4): (index: string) => string {
    const { packing } = slot;
    const name = this.#bind(slot, packing ? packedType(width) : typeAt(dtype, width));
    return (index) => (packing ? unpacked(packing, name, index, width) : `${name}[${index}]`);
  }

  /**
   * WGSL of a leaf's value. `strides` are over `coordinates`, whose innermost counts in steps of `width`.
   */
  load(
    leaf: Leaf,
    strides: readonly number[],
    coordinates: readonly string[],
    width: 1 | 4,
    index?: string,
  ): string {
    const inner = strides.length - 1;
    const { offset } = leaf.layout;
    const scaled = strides.map((s, i) => (i === inner ? s * width : s));
    const valueType = leaf.slot?.packing ? "f32" : leaf.dtype;
    if (leaf.slot && leaf.along && index) {
      const element = this.#element(leaf.slot, leaf.dtype, 1);
      const base = indexText(scaled, coordinates, offset, this.#params);
      const [last, stride] = [
        this.#params.u32(leaf.along.size - 1),
        this.#params.u32(leaf.along.stride),
      ];
      const at = (lane: number, position: string): string =>
        element(
          `${base} + ${lane * (strides[inner] ?? 0)}u + min(u32(${position}), ${last}) * ${stride}`,
        );
      if (width === 1) return at(0, index);
      return `${typeAt(valueType, 4)}(${["x", "y", "z", "w"].map((c, lane) => at(lane, `${index}.${c}`)).join(", ")})`;
    }
    if (!leaf.slot) {
      const index = indexText(scaled, coordinates, offset, this.#params);
      const step = strides[inner] ?? 0;
      const type = typeAt(leaf.dtype, width);
      if (width === 1) return `${type}(${index})`;
      const lanes =
        step === 0
          ? ""
          : ` + vec4<u32>(0u, 1u, 2u, 3u)${step === 1 ? "" : ` * ${this.#params.u32(step)}`}`;
      return `${type}(vec4<u32>(${index})${lanes})`;
    }
    if (width === 4 && strides[inner] === 1) {
      const quarters = strides.map((s, i) => (i === inner ? 1 : s / 4));
      const element = this.#element(leaf.slot, leaf.dtype, 4);
      return element(indexText(quarters, coordinates, offset / 4, this.#params));
    }
    const element = this.#element(leaf.slot, leaf.dtype, 1);
    const value = element(indexText(scaled, coordinates, offset, this.#params));
    return width === 4 ? `${typeAt(valueType, 4)}(${value})` : value;
  }
}

/**
 * The kernel that stores `expression` into `target` (any layout over the same shape), at most `widest` elements at a time.
 *
 * Errors    `dtype_unsupported` for a target that can only be held.
 */
export function mapKernel(
  device: Device,
  label: string,
  expression: Expression,
  target: Operand,
  dtype: DType,
  widest: 1 | 4 = 4,
): KernelCall {
  if (isHeldOnly(dtype)) throw heldOnly(label, `[${target.layout.shape.join(", ")}] ${dtype}`);
  const layouts: Layout[] = [target.layout, ...expression.leaves.map((l) => l.layout)];
  const { shape: sizes, strides } = mergeTogether(layouts);
  const offsets = layouts.map((l) => l.offset);
  const width = widest === 1 ? 1 : vectorWidth(sizes, strides, offsets);
  const inner = sizes.length - 1;
  const steps = sizes.map((s, i) => (i === inner ? s / width : s));
  const params = new ParamFields();
  const count = params.u32(sizeOf(steps));
  const access = new LeafAccess(params, 2);
  const element = typeAt(dtype, width);
  access.alias(target.slot, element, "out");
  const coordinates = steps.map((_, i) => `c${i}`);
  const { lines, result } = expression.text(
    width,
    (leaf, i, at) => access.load(leaf, strides[i + 1] ?? [], coordinates, width, at),
    (v, d) => params.scalar(v, d),
  );
  // a slot that is read in fours and one by one is bound twice: at width 1 it is bound once
  if (width === 4 && access.bindings.length >= device.limits.maxStorageBuffersPerShaderStage)
    return mapKernel(device, label, expression, target, dtype, 1);
  const outStrides = (strides[0] ?? []).map((s, i) => (i === inner ? s : s / width));
  const place = indexText(outStrides, coordinates, target.layout.offset / width, params);
  const body = [
    ...coordinateLines("i", coordinates, steps, params),
    ...lines,
    `out[${place}] = ${element}(${result});`,
  ];
  const needsF16 = expression.usesF16 || dtype === "f16";
  const source = `${needsF16 ? "enable f16;\n" : ""}struct Params { ${params.fields.join(", ")} }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> out: array<${element}>;
${access.declarations.join("\n")}
@compute @workgroup_size(${WORKGROUP})
fn map(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < ${count}; i += groups.x * ${WORKGROUP}u) {
    ${body.join("\n    ")}
  }
}
`;
  const total = sizeOf(steps);
  const groups = Math.min(
    Math.ceil(total / WORKGROUP),
    device.isSoftware ? MAX_GROUPS.software : MAX_GROUPS.hardware,
  );
  return {
    label: `map:${label}`,
    name: "map",
    source,
    entry: "map",
    bindings: [target.slot, ...access.bindings],
    params: paramWords(params.values),
    grid: [groups, 1, 1],
    flops: expression.mapCount * sizeOf(sizes),
    retarget: (to) => {
      const home = homeOf(to.slot);
      const reads = expression.leaves.filter((l) => l.slot && homeOf(l.slot) === home);
      // each element must be read by the invocation that writes it, through the one binding there is
      const isInPlace = reads.every(
        (l) => l.slot === to.slot && !l.along && sameLayout(l.layout, to.layout),
      );
      return isInPlace ? mapKernel(device, label, expression, to, dtype) : undefined;
    },
  };
}

function sameLayout(a: Layout, b: Layout): boolean {
  const isSame = a.shape.every(
    (s, i) => s === b.shape[i] && (s === 1 || a.strides[i] === b.strides[i]),
  );
  return isSame && a.shape.length === b.shape.length && a.offset === b.offset;
}
