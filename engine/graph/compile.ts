/**
 * Running graphs: `compile(fn)` for functions called again and again, `read` for one-shot values.
 */
import { ForgeError } from "../error.ts";
import { openDevice } from "../gpu/adapter.ts";
import type { Device } from "../gpu/device.ts";
import { bytesOf, type HostArray, hostArray } from "../tensor/dtype.ts";
import { stateOf, traced } from "../tensor/state.ts";
import {
  dataOp,
  full,
  inputOp,
  makeTensor,
  type Op,
  setEvaluator,
  Tensor,
  type TensorType,
} from "../tensor/tensor.ts";
import { type InputValue, Plan, readBuffer } from "./plan.ts";
import type { PlanReport } from "./report.ts";
import { attributeText, keyOf } from "./schedule.ts";

let defaultDevice: Promise<Device> | undefined;

/** The device that is used when none is named; opened on first use. */
export function getDefaultDevice(): Promise<Device> {
  defaultDevice ??= openDevice();
  return defaultDevice;
}

/** Makes `device` the one that is used when none is named. */
export function setDefaultDevice(device: Device | undefined): void {
  defaultDevice = device && Promise.resolve(device);
}

/** A value that a plan has left in one of its output buffers. Attributes: `result`, and `origin` for messages. */
const resultOp: Op = { name: "result", kind: "source" };

interface Result {
  readonly plan: Plan;
  readonly index: number;
  /** Number of the call that made the value; later calls overwrite it. */
  readonly call: number;
  readonly counter: { calls: number };
}

/** A tensor, a number (a f32 scalar that is data, not part of the plan), or nested objects and arrays of them. */
export type Tree = Tensor | number | readonly Tree[] | { readonly [key: string]: Tree } | undefined;

/** What a compiled function returns: the same structure, with tensors that hold values. */
export type Compiled<A extends readonly Tree[], R extends Tree> = ((...args: A) => Promise<R>) & {
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
  const label = options.label ?? (fn.name || "compiled");

  const entryFor = async (device: Device, args: A, leaves: readonly Leaf[]): Promise<Entry<R>> => {
    const key = leaves.map((l) => l.signature).join(";");
    for (let known = entries.get(key); known; known = entries.get(key)) {
      const found = await known;
      if (found.plan.isCurrent) return found;
      if (entries.get(key) !== known) continue; // a call beside this one has seen to it
      entries.delete(key);
      release(found);
    }
    const made = trace(device, fn, args, label);
    entries.set(key, made);
    made.catch(() => entries.delete(key));
    return made;
  };

  const call = async (...args: A): Promise<R> => {
    const device = options.device ?? (await getDefaultDevice());
    const leaves = flattenTree(args, label);
    const entry = await entryFor(device, args, leaves);
    const values: InputValue[] = [];
    for (const leaf of leaves) values.push(await inputValue(device, leaf));
    for (const action of entry.beforeCalls) action(device);
    entry.plan.run(values);
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
  const plan = async (...args: A): Promise<Plan> => {
    const device = options.device ?? (await getDefaultDevice());
    return (await entryFor(device, args, flattenTree(args, label))).plan;
  };
  return Object.assign(call, {
    plan,
    describe: async (...args: A) => (await plan(...args)).describe(),
    [Symbol.dispose]: () => {
      for (const entry of entries.values()) void entry.then(release, () => undefined);
      entries.clear();
    },
  });
}

/** Frees a plan; results still held become stale rather than dangling. */
function release(entry: Entry<unknown>): void {
  entry.counter.calls++;
  entry.plan[Symbol.dispose]();
}

interface Leaf {
  readonly value: Tensor | number;
  readonly signature: string;
}

function flattenTree(tree: Tree, label: string, path = "arguments"): Leaf[] {
  if (tree === undefined) return [];
  if (typeof tree === "number") return [{ value: tree, signature: `${path}:f32` }];
  if (tree instanceof Tensor) {
    // a state denotes itself, whatever its value: it is part of the function, not an argument
    const state = stateOf(tree);
    const identity = state ? `#${tree.node.id}` : "";
    return [{ value: tree, signature: `${path}:${tree.dtype}[${tree.shape.join()}]${identity}` }];
  }
  if (isContainer(tree)) {
    return Object.entries(tree as Record<string, Tree>).flatMap(([k, v]) =>
      flattenTree(v, label, `${path}.${k}`),
    );
  }
  const kind =
    typeof tree === "object" ? ((tree as object | null)?.constructor.name ?? "null") : typeof tree;
  throw new ForgeError({
    code: "compile_argument",
    what: `${label}: a value that goes in or out is no tensor.`,
    got: `${path} is ${kind}`,
    why: "compiled functions take and return tensors, numbers, and plain objects and arrays of them",
    fix: "wrap host data with tensor(data), and close over everything else",
  });
}

/** Arrays and plain objects; typed arrays, promises and class instances are none. */
function isContainer(tree: unknown): boolean {
  if (typeof tree !== "object" || tree === null) return false;
  const prototype: unknown = Object.getPrototypeOf(tree);
  return Array.isArray(tree) || prototype === Object.prototype || prototype === null;
}

function mapTree(tree: Tree, leaf: (value: Tensor | number) => Tree): Tree {
  if (tree === undefined || typeof tree === "number" || tree instanceof Tensor) {
    return tree === undefined ? undefined : leaf(tree);
  }
  if (Array.isArray(tree)) return tree.map((t: Tree) => mapTree(t, leaf));
  return Object.fromEntries(Object.entries(tree).map(([k, v]) => [k, mapTree(v, leaf)]));
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

async function inputValue(device: Device, leaf: Leaf): Promise<InputValue> {
  const { value } = leaf;
  if (typeof value === "number") return new Float32Array([value]);
  const { op, attributes } = value.node;
  if (op === dataOp) return attributes["data"] as HostArray;
  const state = stateOf(value);
  if (state) return new Float32Array(0); // bound directly
  if (op === resultOp) {
    const result = attributes["result"] as Result;
    if (result.plan.device === device) return resultBuffer(result);
  }
  return value.read();
}

function resultBuffer(result: Result): { buffer: GPUBuffer; offsetBytes: number } {
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

/** Reads with a one-shot plan; plans are kept by the structure of the graph, so a repeated read only replays. */
async function read(tensor: Tensor): Promise<HostArray> {
  const make = (bytes: ArrayBuffer): HostArray => hostArray(tensor.dtype, bytes);
  const { op, attributes } = tensor.node;
  if (op === dataOp) return (attributes["data"] as HostArray).slice();
  if (op === resultOp) {
    const result = attributes["result"] as Result;
    return readBuffer(result.plan.device, resultBuffer(result), tensor, make);
  }
  const state = stateOf(tensor);
  const device = state?.device ?? (await getDefaultDevice());
  if (state) {
    const { state: home, offset } = state.home;
    return readBuffer(
      device,
      { buffer: home.buffer(device), offsetBytes: offset * bytesOf(tensor.dtype) },
      tensor,
      make,
    );
  }
  const { key, root, values } = await abstractGraph(device, tensor);
  let plan = await cachedPlan(device, key, root);
  if (!plan.isCurrent) {
    oneShot.delete(key);
    plan[Symbol.dispose]();
    plan = await cachedPlan(device, key, root);
  }
  plan.run(values);
  return readBuffer(device, plan.output(0), tensor, make);
}

/** One-shot plans kept for reuse: at most so many, and at most so many bytes of theirs. */
const MAX_ONE_SHOT = 32;
const MAX_ONE_SHOT_BYTES = 256 * 2 ** 20;

interface OneShot {
  readonly device: Device;
  readonly plan: Promise<Plan>;
  bytes: number;
}

const oneShot = new Map<string, OneShot>();

async function cachedPlan(device: Device, key: string, root: Tensor): Promise<Plan> {
  const found = oneShot.get(key);
  if (found && found.device === device) {
    oneShot.delete(key); // most recent last
    oneShot.set(key, found);
    return found.plan;
  }
  const plan = Plan.make(
    device,
    { outputs: [root], assignments: new Map() },
    `read ${root.node.op.name}`,
  );
  const entry: OneShot = { device, plan, bytes: 0 };
  oneShot.set(key, entry);
  plan.then(
    (made) => {
      entry.bytes = made.ownedBytes;
      evict(key);
    },
    () => oneShot.delete(key),
  );
  return plan;
}

/** Frees the plans used longest ago, never the newest. */
function evict(newest: string): void {
  let bytes = [...oneShot.values()].reduce((n, e) => n + e.bytes, 0);
  for (const [key, entry] of oneShot) {
    if (key === newest || (oneShot.size <= MAX_ONE_SHOT && bytes <= MAX_ONE_SHOT_BYTES)) return;
    oneShot.delete(key);
    bytes -= entry.bytes;
    void entry.plan.then((p) => p[Symbol.dispose]());
  }
}

/** The graph with host data and results replaced by inputs: its structure is the key of the one-shot cache. */
async function abstractGraph(
  device: Device,
  root: Tensor,
): Promise<{ key: string; root: Tensor; values: InputValue[] }> {
  const values: InputValue[] = [];
  const made = new Map<string, Tensor>();
  const ids = new Map<number, number>();
  const text: string[] = [];
  const identity = (object: object): number => identityOf(object);
  const build = async (tensor: Tensor): Promise<Tensor> => {
    const known = made.get(keyOf(tensor));
    if (known) return known;
    const { node } = tensor;
    let result: Tensor;
    if (node.op === dataOp || node.op === resultOp) {
      const index = values.length;
      values.push(await inputValue(device, { value: tensor, signature: "" }));
      result = makeTensor(inputOp, [], { index }, { shape: tensor.shape, dtype: tensor.dtype });
      ids.set(result.node.id, ids.size);
      text.push(`input ${index} ${tensor.dtype}[${tensor.shape.join()}]`);
    } else {
      const inputs: Tensor[] = [];
      for (const input of node.inputs) inputs.push(await build(input));
      const again = made.get(keyOf(tensor));
      if (again) return again;
      const copy = node.inputs.length === 0 ? node : { ...node, inputs, id: nodeId() };
      node.outputs.forEach((_, o) => {
        made.set(
          `${node.id}.${o}`,
          node.inputs.length === 0 && o === tensor.output ? tensor : new Tensor(copy, o),
        );
      });
      ids.set(copy.id, ids.size);
      const from = inputs.map((t) => `${ids.get(t.node.id)}.${t.output}`).join();
      const types = node.outputs.map((o) => `${o.dtype}[${o.shape.join()}]`).join();
      text.push(`${node.op.name}(${from})${types}${attributeText(node.attributes, identity)}`);
      return made.get(keyOf(tensor)) as Tensor;
    }
    made.set(keyOf(tensor), result);
    return result;
  };
  const abstract = await build(root);
  return {
    key: `${text.join("\n")}>${ids.get(abstract.node.id)}.${abstract.output}`,
    root: abstract,
    values,
  };
}

/** A fresh node id, so that rebuilt nodes keep the order "inputs before users". */
function nodeId(): number {
  return full([], 0).node.id;
}

const identities = new WeakMap<object, number>();
let nextIdentity = 1;

function identityOf(object: object): number {
  let id = identities.get(object);
  if (id === undefined) {
    id = nextIdentity++;
    identities.set(object, id);
  }
  return id;
}

setEvaluator({ read });
