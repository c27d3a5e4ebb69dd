/** Results of plans as tensors: values in output buffers, good until the next call. */
import { ForgeError } from "../error.ts";
import type { Device } from "../gpu/device.ts";
import type { HostArray } from "../tensor/dtype.ts";
import { stateOf } from "../tensor/state.ts";
import { dataOp, inputOp, type Op, type Tensor } from "../tensor/tensor.ts";
import type { Plan } from "./plan.ts";
import type { BufferPlace, InputValue } from "./transfer.ts";

/** A value that a plan has left in one of its output buffers. Attributes: `result`, and `origin` for messages. */
export const resultOp: Op = { name: "result", kind: "source" };

/** Which value of which call. */
export interface Result {
  readonly plan: Plan;
  readonly index: number;
  /** Number of the call that made the value; later calls overwrite it. */
  readonly call: number;
  readonly counter: { calls: number };
}

/** What to write into a plan's input for a value: host data, or where it lies on the device. */
export async function inputValue(device: Device, value: Tensor | number): Promise<InputValue> {
  if (typeof value === "number") return new Float32Array([value]);
  const { op, attributes } = value.node;
  if (op === dataOp) return attributes["data"] as HostArray;
  if (op === inputOp) {
    throw new ForgeError({
      code: "compile_argument",
      what: "an argument of a compiled function is read while the function is traced.",
      got: `${value}`,
      why: "tracing only records what to compute; values exist when the function is called",
      fix: "return the tensor, and read it from the result",
    });
  }
  const state = stateOf(value);
  if (state) return new Float32Array(0); // bound directly
  if (op === resultOp) {
    const result = attributes["result"] as Result;
    // checked again when it is copied: a call beside this one may overwrite it before
    if (result.plan.device === device) return () => resultBuffer(result);
  }
  return value.read();
}

/** Where a result lies. Errors: `use_after_dispose` when a later call has overwritten it. */
export function resultBuffer(result: Result): BufferPlace {
  if (result.counter.calls !== result.call) {
    throw new ForgeError({
      code: "use_after_dispose",
      what: `a result of "${result.plan.label}" is used after a later call overwrote it.`,
      got: `the value of call ${result.call}, after call ${result.counter.calls}`,
      fix: "read it before the next call, or keep it in a state",
    });
  }
  return result.plan.output(result.index);
}
