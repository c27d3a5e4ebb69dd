/** Operands of hand-written kernels that are held in 16 bits: read in place, computed with in f32. */
import type { KernelDispatch } from "../gpu/dispatch.ts";
import type { ShaderOptions } from "../gpu/shader.ts";
import type { Slot } from "../graph/kernel.ts";
import { packedType, unpacked } from "../graph/packing.ts";
import { shaderSource } from "../graph/shader-source.ts";

/** How an operand is held. */
export type Held = Pick<Slot, "dtype" | "packing">;

/**
 * The dispatch for operands as they are held, by the names of their arrays in the shader.
 *
 * Array `x` has elements of the alias `ElementX` there, of one f32 or four, and is read by the function `read_x`.
 */
export function withHeld(
  dispatch: KernelDispatch,
  operands: Readonly<Record<string, Held>>,
): KernelDispatch {
  return Object.entries(operands).reduce((made, [array, held]) => {
    const alias = `Element${array.charAt(0).toUpperCase()}${array.slice(1)}`;
    return withElement(made, alias, held, (width) => {
      const value = unpacked(held.packing ?? "f16", array, "i", width);
      const type = width === 4 ? "vec4f" : "f32";
      return { [`read_${array}`]: `fn read_${array}(i: u32) -> ${type} {\n  return ${value};\n}` };
    });
  }, dispatch);
}

/** The transposition of `matmul-transpose.wgsl` for elements as they are held. */
export function transposingHeld(dispatch: KernelDispatch, held: Held): KernelDispatch {
  return withElement(dispatch, "Element", held, () => ({ column: PACKED_COLUMN }));
}

const PACKED_COLUMN = `fn column(i: u32, r0: Element, r1: Element, r2: Element, r3: Element) -> Element {
  let words = vec4u(r0[i / 2u], r1[i / 2u], r2[i / 2u], r3[i / 2u]) >> vec4u(i % 2u * 16u);
  return (words.xz & vec2u(0xffffu)) | (words.yw << vec2u(16u));
}`;

/** Narrows an alias; `functions` gives what must be replaced besides where elements are packed, by their number. */
function withElement(
  dispatch: KernelDispatch,
  alias: string,
  { dtype, packing }: Held,
  functions: (width: 1 | 4) => ShaderOptions["functions"],
): KernelDispatch {
  if (packing === undefined && dtype !== "f16") return dispatch;
  const { options, name } = dispatch;
  const own = new RegExp(`^alias ${alias} = (\\w+)`, "m").exec(shaderSource(name))?.[1];
  const width = String(options.constants?.[alias] ?? own).startsWith("vec4") ? 4 : 1;
  const narrow = width === 4 ? "vec4<f16>" : "f16";
  return {
    ...dispatch,
    options: {
      ...options,
      constants: { ...options.constants, [alias]: packing ? packedType(width) : narrow },
      ...(packing
        ? { functions: { ...options.functions, ...functions(width) } }
        : { usesF16: true }),
    },
  };
}
