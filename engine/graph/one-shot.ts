/**
 * `read`: values without a compiled function. Each structure of graph has its plan, kept for the next one like it.
 */
import type { Device } from "../gpu/device.ts";
import { bytesOf, type HostArray, hostArray } from "../tensor/dtype.ts";
import { stateOf } from "../tensor/state.ts";
import { dataOp, full, inputOp, makeTensor, setEvaluator, Tensor } from "../tensor/tensor.ts";
import { getDefaultDevice } from "./default-device.ts";
import { Plan } from "./plan.ts";
import { inputValue, type Result, resultBuffer, resultOp } from "./result.ts";
import { attributeText, keyOf } from "./schedule.ts";
import { type InputValue, readBuffer } from "./transfer.ts";

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
  for (;;) {
    const entry = planFor(device, key, root);
    entry.readers++;
    try {
      const plan = await entry.plan;
      if (plan.isCurrent) {
        plan.run(values);
        // the copy out of the plan's buffers is submitted before anything else can run
        return readBuffer(device, plan.output(0), tensor, make);
      }
      if (oneShot.get(key) === entry) oneShot.delete(key);
      plan[Symbol.dispose]();
    } finally {
      entry.readers--;
      evict();
    }
  }
}

/** One-shot plans kept for reuse: at most so many, and at most so many bytes of theirs. */
const MAX_ONE_SHOT = 32;
const MAX_ONE_SHOT_BYTES = 256 * 2 ** 20;

interface OneShot {
  readonly plan: Promise<Plan>;
  /** Reads that wait for the plan: it must stay. */
  readers: number;
  bytes: number;
}

const oneShot = new Map<string, OneShot>();

function planFor(device: Device, key: string, root: Tensor): OneShot {
  const found = oneShot.get(key);
  if (found) {
    oneShot.delete(key); // most recent last
    oneShot.set(key, found);
    return found;
  }
  const plan = Plan.make(
    device,
    { outputs: [root], assignments: new Map() },
    `read ${root.node.op.name}`,
  );
  const entry: OneShot = { plan, readers: 0, bytes: 0 };
  oneShot.set(key, entry);
  plan.then(
    (made) => {
      entry.bytes = made.ownedBytes;
    },
    () => {
      if (oneShot.get(key) === entry) oneShot.delete(key);
    },
  );
  return entry;
}

/** Frees the plans used longest ago, but none that is waited for and not the newest. */
function evict(): void {
  let bytes = [...oneShot.values()].reduce((n, e) => n + e.bytes, 0);
  const newest = [...oneShot.keys()].at(-1);
  for (const [key, entry] of oneShot) {
    if (oneShot.size <= MAX_ONE_SHOT && bytes <= MAX_ONE_SHOT_BYTES) return;
    if (key === newest || entry.readers > 0) continue;
    oneShot.delete(key);
    bytes -= entry.bytes;
    entry.plan.then((p) => p[Symbol.dispose]()).catch(() => undefined);
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
    if (node.op === dataOp || node.op === resultOp || node.op === inputOp) {
      const index = values.length;
      values.push(await inputValue(device, tensor));
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
    key: `${identityOf(device)}\n${text.join("\n")}>${ids.get(abstract.node.id)}.${abstract.output}`,
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
