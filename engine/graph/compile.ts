/**
 * Compiled functions: traced once per signature, replayed on every call.
 */
import { ForgeError } from "../error.ts";
import type { Device } from "../gpu/device.ts";
import { activeTrace, stateOf, traced } from "../tensor/state.ts";
import { full, inputOp, makeTensor, Tensor, type TensorType } from "../tensor/tensor.ts";
import { getDefaultDevice } from "./default-device.ts";
import { Plan, type Watch } from "./plan.ts";
import type { PlanReport } from "./report.ts";
import { inputValue, resultOp } from "./result.ts";
import type { InputValue } from "./transfer.ts";
import { flattenTree, mapTree, type Tree, type TreeLeaf } from "./tree.ts";

/** What a compiled function returns: the same structure, with tensors that hold values. */
export type Compiled<A extends readonly Tree[], R extends Tree> = ((...args: A) => Promise<R>) & {
  /** A call in parts, with somebody who wants to know how far it is; the result is that of any other call. */
  watched(watch: Watch, ...args: A): Promise<R>;
  /** The report of the plan for these arguments, compiling it when needed. */
  describe(...args: A): Promise<PlanReport>;
  /** The plan for these arguments, for profiling. */
  plan(...args: A): Promise<Plan>;
  /** Frees all plans. */
  [Symbol.dispose](): void;
};

/** Options of {@link compile}. */
export interface CompileOptions {
  /** Default: the default device. */
  readonly device?: Device;
  /** Name in errors and reports. Default: the function's name. */
  readonly label?: string;
  /** How many calls may be queued before a call waits for the GPU. Default 2. */
  readonly maxInFlight?: number;
  /** Plans kept; beyond that, the one unused for longest is freed, with its results, before another is made. Default: all. */
  readonly maxPlans?: number;
}

interface Entry<R> {
  readonly plan: Plan;
  readonly restore: (make: (i: number, output: Tensor) => Tensor) => R;
  readonly counter: { calls: number };
  readonly pending: Promise<void>[];
  readonly beforeCalls: readonly ((device: Device) => void)[];
}

/**
 * Compiles a function of tensors.
 *
 * `fn` is traced once per input signature (shapes, dtypes, structure); each later call only writes the inputs and
 * replays the plan. Results stay in the plan's own buffers: read them, or pass them on, before the next call with the
 * same signature overwrites them (using a stale one is an error, `use_after_dispose`).
 */
export function compile<A extends readonly Tree[], R extends Tree>(
  fn: (...args: A) => R,
  options: CompileOptions = {},
): Compiled<A, R> {
  const entries = new Map<string, Promise<Entry<R>>>();
  const { label = fn.name || "compiled", maxPlans = Number.POSITIVE_INFINITY } = options;

  const entryFor = async (
    device: Device,
    args: A,
    leaves: readonly TreeLeaf[],
  ): Promise<Entry<R>> => {
    const key = leaves.map((l) => l.signature).join(";");
    for (let known = entries.get(key); known; known = entries.get(key)) {
      const found = await known;
      if (entries.get(key) !== known) continue; // a call beside this one has seen to it
      entries.delete(key);
      if (found.plan.isCurrent) {
        entries.set(key, known); // behind all others: the last one used
        return found;
      }
      release(found);
    }
    for (const [oldest, entry] of entries) {
      if (entries.size < maxPlans) break;
      entries.delete(oldest);
      void entry.then(release, () => undefined);
    }
    const made = trace(device, fn, args, label);
    entries.set(key, made);
    made.catch(() => entries.delete(key));
    return made;
  };

  const callNow = async (args: A, watch?: Watch): Promise<R> => {
    const device = options.device ?? (await getDefaultDevice());
    const leaves = flattenTree(args, label);
    const entry = await entryFor(device, args, leaves);
    const values: InputValue[] = [];
    for (const leaf of leaves) values.push(await inputValue(device, leaf.value));
    for (const action of entry.beforeCalls) action(device);
    entry.plan.run(values, watch);
    const now = ++entry.counter.calls;
    const done = device.idle();
    done.catch(() => undefined); // reported by the next wait
    entry.pending.push(done);
    if (entry.pending.length > (options.maxInFlight ?? 2)) await entry.pending.shift();
    return entry.restore((index, output) =>
      makeTensor(
        resultOp,
        [],
        {
          result: { plan: entry.plan, index, call: now, counter: entry.counter },
          origin: `${output.node.op.name} in "${label}"`,
        },
        { shape: output.shape, dtype: output.dtype },
      ),
    );
  };
  // calls that nobody awaits still change states in the order in which they were made
  let last: Promise<unknown> = Promise.resolve();
  const callBehind = (args: A, watch?: Watch): Promise<R> => {
    if (activeTrace()) return Promise.reject(nestedCall(label));
    const turn = last.then(() => callNow(args, watch));
    last = turn.catch(() => undefined);
    return turn;
  };
  const call = (...args: A): Promise<R> => callBehind(args);
  const plan = async (...args: A): Promise<Plan> => {
    const device = options.device ?? (await getDefaultDevice());
    return (await entryFor(device, args, flattenTree(args, label))).plan;
  };
  return Object.assign(call, {
    plan,
    watched: (watch: Watch, ...args: A): Promise<R> => callBehind(args, watch),
    describe: async (...args: A) => (await plan(...args)).describe(),
    [Symbol.dispose]: () => {
      for (const entry of entries.values()) void entry.then(release, () => undefined);
      entries.clear();
    },
  });
}

function nestedCall(label: string): ForgeError {
  return new ForgeError({
    code: "state_conflict",
    what: `"${label}" is called while another compiled function is traced.`,
    fix: "call the plain function inside, and compile only the outermost one",
  });
}

/** Frees a plan; results still held become stale rather than dangling. */
function release(entry: Entry<unknown>): void {
  entry.counter.calls++;
  entry.plan[Symbol.dispose]();
}

async function trace<A extends readonly Tree[], R extends Tree>(
  device: Device,
  fn: (...args: A) => R,
  args: A,
  label: string,
): Promise<Entry<R>> {
  let next = 0;
  const placeholders = mapTree(args, (value) => {
    const index = next++;
    if (value instanceof Tensor && stateOf(value)) return value;
    const type: TensorType = value instanceof Tensor ? value : { shape: [], dtype: "f32" };
    return makeTensor(inputOp, [], { index }, { shape: type.shape, dtype: type.dtype });
  }) as unknown as A;
  const { result, trace: recorded } = traced(() => fn(...placeholders));
  flattenTree(result, label, "result");
  const outputs: Tensor[] = [];
  mapTree(result, (value) => {
    outputs.push(value instanceof Tensor ? value : full([], value));
    return undefined;
  });
  const plan = await Plan.make(device, { outputs, assignments: recorded.assignments }, label);
  return {
    plan,
    counter: { calls: 0 },
    pending: [],
    beforeCalls: recorded.beforeCalls,
    restore: (make) => {
      let at = 0;
      return mapTree(result, () => {
        const index = at++;
        return make(index, outputs[index] as Tensor);
      }) as R;
    },
  };
}
