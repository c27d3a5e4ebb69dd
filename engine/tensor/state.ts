/**
 * State: values that live on the GPU between plans (parameters, optimizer moments, caches, counters).
 *
 * A state is a tensor that denotes its value *when the plan starts*. It changes only as an output of a plan
 * (`assign` inside a compiled function) or from the host (`write`).
 */
import { ForgeError } from "../error.ts";
import { BufferUsage } from "../gpu/constants.ts";
import type { Device } from "../gpu/device.ts";
import { bytesOf, type DType, encoded, type HostArray, hostArray, toHostArray } from "./dtype.ts";
import { type Shape, sizeOf } from "./shape.ts";
import { makeNode, type Op, Tensor } from "./tensor.ts";

/** A state as a source of the graph. Attributes: `state`. */
export const stateOp: Op = { name: "state", kind: "source" };

/**
 * What a state starts as: host data, or one number for every element. Numbers are rounded to the state's dtype; a
 * `Uint16Array` holds the patterns of a state of f16 or bf16.
 */
export type Initial = HostArray | number;

/** A value that lives on the GPU between plans. */
export class State extends Tensor implements Disposable {
  /** Name for messages, checkpoints and buffer labels. Layers leave it empty: a model's walk gives them their paths. */
  name: string;
  /** Whether optimizers may train it. */
  readonly isTrainable: boolean;
  #initial: Initial | undefined;
  #buffer: GPUBuffer | undefined;
  #device: Device | undefined;
  #base: { readonly state: State; readonly offset: number } | undefined;
  /** How many states have their values in this one's buffer. */
  #residents = 0;
  #moves = 0;
  #isDisposed = false;

  constructor(shape: Shape, dtype: DType, initial: Initial, name: string, isTrainable = false) {
    const attributes: { state?: State } = {};
    super(makeNode(stateOp, [], attributes, [{ shape, dtype }]), 0);
    attributes.state = this;
    if (typeof initial !== "number" && initial.length !== sizeOf(shape)) {
      throw new ForgeError({
        code: "shape_mismatch",
        what: `state "${name}": the initial data does not fill the shape.`,
        got: `${initial.length} elements for [${shape.join(", ")}]`,
        fix: "pass as many elements as the shape holds",
      });
    }
    this.name = name;
    this.isTrainable = isTrainable;
    this.#initial = initial;
  }

  /** The state whose buffer holds this one (itself unless it was moved into a flat one), and the element offset there. */
  get home(): { readonly state: State; readonly offset: number } {
    return this.#base ?? { state: this, offset: 0 };
  }

  /** How often a value has moved out of this state's buffer: plans made before read what is no longer there. */
  get moves(): number {
    return this.#moves;
  }

  /** The device that holds the value; none before first use. */
  get device(): Device | undefined {
    return this.home.state.#device;
  }

  /** Bytes of the elements. */
  get sizeBytes(): number {
    return this.size * bytesOf(this.dtype);
  }

  /** The buffer that holds the state's home, allocated and filled on first use. */
  buffer(device: Device): GPUBuffer {
    this.#checkAlive();
    if (this.#base) return this.#base.state.buffer(device);
    if (this.#buffer && this.#device === device) return this.#buffer;
    if (this.#buffer) {
      throw new ForgeError({
        code: "state_conflict",
        what: `state "${this.name}" lives on another device.`,
        fix: "use each model on the device it was first used on, or save it and load it again",
      });
    }
    this.#device = device;
    this.#buffer = device.createBuffer({
      label: `state ${this.name}`,
      sizeBytes: this.sizeBytes,
      usage: BufferUsage.STORAGE | BufferUsage.COPY_SRC | BufferUsage.COPY_DST,
    });
    const initial = this.#initial;
    this.#initial = undefined;
    // WebGPU buffers start as zeros
    if (initial !== undefined && initial !== 0)
      this.#upload(device, this.#buffer, 0, this.#asData(initial));
    return this.#buffer;
  }

  /**
   * Sets the value that the state has after the plan being traced.
   *
   * Errors    `state_conflict` outside of `compile`, or for a second assignment; `shape_mismatch`; `dtype_mismatch`.
   */
  assign(value: Tensor): void {
    if (value.dtype !== this.dtype || value.shape.join() !== this.shape.join()) {
      throw new ForgeError({
        code: value.dtype !== this.dtype ? "dtype_mismatch" : "shape_mismatch",
        what: `assign: the value does not fit state "${this.name}".`,
        got: `[${value.shape.join(", ")}] ${value.dtype} for [${this.shape.join(", ")}] ${this.dtype}`,
        fix: "cast or reshape the value",
      });
    }
    const trace = currentTrace;
    if (!trace || trace.assignments.has(this)) {
      throw new ForgeError({
        code: "state_conflict",
        what: trace
          ? `assign: state "${this.name}" is assigned twice in one function.`
          : `assign: state "${this.name}" is assigned outside of a compiled function.`,
        why: "state changes only as an output of a plan, once per plan",
        fix: trace
          ? "combine the two values into one"
          : "wrap the code in compile(() => …), or use state.write(data)",
      });
    }
    trace.assignments.set(this, value);
  }

  /**
   * Replaces the value, or the elements from `start` on, from the host; f16 and bf16 as 16-bit patterns.
   *
   * Errors    `shape_mismatch` for data that ends beyond the state, or is none of its parts when no `start` is given;
   *           `dtype_mismatch` for elements of another size; `argument_invalid` for a part of a 16-bit state that does not
   *           begin at an even element, and end at one or with the state.
   */
  write(device: Device, data: HostArray, start?: number): void {
    const first = start ?? 0;
    const isFull = first === 0 && data.length === this.size;
    if (!isFull && (start === undefined || first + data.length > this.size)) {
      throw new ForgeError({
        code: "shape_mismatch",
        what: `write: the data does not fit state "${this.name}".`,
        got: `${data.length} elements from ${first} on for [${this.shape.join(", ")}]`,
        fix: "pass as many elements as the shape holds, or where a part begins",
      });
    }
    if (data.BYTES_PER_ELEMENT !== bytesOf(this.dtype)) {
      throw new ForgeError({
        code: "dtype_mismatch",
        what: `write: the data is not what state "${this.name}" holds.`,
        got: `${data.constructor.name} for ${this.dtype}`,
        fix: "pass a Uint16Array of patterns for f16 and bf16, else an array of the dtype",
      });
    }
    const { state, offset } = this.home;
    const from = (offset + first) * bytesOf(this.dtype);
    const isLast = first + data.length === this.size; // what is padded behind it is nobody's
    if (from % 4 !== 0 || (!isLast && data.byteLength % 4 !== 0)) {
      throw new ForgeError({
        code: "argument_invalid",
        what: `write: a part of state "${this.name}" does not lie at 4-byte boundaries.`,
        got: `${data.length} elements of ${this.dtype} from ${first} on`,
        fix: "write an even number of elements from an even one on",
      });
    }
    state.#upload(device, state.buffer(device), from, data);
  }

  /**
   * The elements from `from` to before `to`, on the host, of a state of 4-byte elements; what was called before has been done by
   * then.
   *
   * Errors    `argument_invalid` for elements that there are not, or of another size.
   */
  async readPart(device: Device, from: number, to: number): Promise<HostArray> {
    this.#checkPart(from, to);
    const part = hostArray(this.dtype, to - from);
    await this.usePart(device, from, to, (bytes) => new Uint8Array(part.buffer).set(bytes));
    return part;
  }

  /** As {@link readPart}, for whoever puts the bytes elsewhere: they are there while `use` is called. */
  async usePart(
    device: Device,
    from: number,
    to: number,
    use: (bytes: Uint8Array) => void,
  ): Promise<void> {
    this.#checkPart(from, to);
    if (to === from) return;
    const { state, offset } = this.home;
    const sizeBytes = 4 * (to - from);
    const staging = device.takeStaging(sizeBytes);
    const encoder = device.gpu.createCommandEncoder();
    const source = state.buffer(device);
    encoder.copyBufferToBuffer(source, 4 * (offset + from), staging, 0, sizeBytes);
    device.submit(`read ${this.name}`, encoder.finish());
    await device.readMapped(staging, sizeBytes, (bytes) => use(new Uint8Array(bytes)));
    device.returnStaging(staging);
  }

  /** Takes the value of a state that lies in another buffer, bit by bit. Errors: `shape_mismatch`; `dtype_mismatch`. */
  copyFrom(device: Device, source: State): void {
    const isAlike = source.shape.join() === this.shape.join();
    if (!isAlike || source.dtype !== this.dtype) {
      throw new ForgeError({
        code: isAlike ? "dtype_mismatch" : "shape_mismatch",
        what: `copyFrom: state "${source.name}" does not fit state "${this.name}".`,
        got: `[${source.shape.join(", ")}] ${source.dtype} for [${this.shape.join(", ")}] ${this.dtype}`,
        fix: "copy between states of one shape and dtype",
      });
    }
    const [from, to] = [source.home, this.home];
    const encoder = device.gpu.createCommandEncoder();
    encoder.copyBufferToBuffer(
      from.state.buffer(device),
      from.offset * bytesOf(this.dtype),
      to.state.buffer(device),
      to.offset * bytesOf(this.dtype),
      Math.ceil(this.sizeBytes / 4) * 4,
    );
    device.submit(`copy ${source.name}`, encoder.finish());
  }

  /** Frees the buffer; a flat one when the last state in it goes. Using the state afterwards is an error. */
  [Symbol.dispose](): void {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    this.#leave();
  }

  /**
   * Moves states into one flat state, each at a 256-byte boundary, so that an optimizer can update them in one
   * dispatch. The states keep their values; plans compiled before are compiled again by themselves.
   */
  static flatten(device: Device, states: readonly State[], name: string): State {
    const align = 64;
    let length = 0;
    const offsets = states.map((s) => {
      const at = length;
      length += Math.ceil(s.size / align) * align;
      return at;
    });
    const flat = new State([length], states[0]?.dtype ?? "f32", 0, name);
    const target = flat.buffer(device);
    const encoder = device.gpu.createCommandEncoder();
    states.forEach((s, i) => {
      const home = s.home;
      const from = home.offset * bytesOf(s.dtype);
      const bytes = Math.ceil(s.sizeBytes / 4) * 4;
      encoder.copyBufferToBuffer(
        home.state.buffer(device),
        from,
        target,
        (offsets[i] ?? 0) * 4,
        bytes,
      );
    });
    device.submit(`flatten ${name}`, encoder.finish());
    states.forEach((s, i) => {
      s.#rehome(flat, offsets[i] ?? 0);
    });
    return flat;
  }

  #rehome(flat: State, offset: number): void {
    this.#leave();
    this.#base = { state: flat, offset };
    flat.#residents++;
  }

  /** Gives up the place where the value lies. */
  #leave(): void {
    this.#moves++;
    const flat = this.#base?.state;
    if (flat) {
      flat.#moves++;
      flat.#residents--;
      if (flat.#residents === 0) flat[Symbol.dispose]();
    } else if (this.#buffer && this.#device) {
      this.#device.destroyBuffer(this.#buffer);
    }
    this.#buffer = undefined;
  }

  #asData(initial: Initial): HostArray {
    const { dtype } = this;
    if (typeof initial === "number")
      return hostArray(dtype, this.size).fill(encoded(initial, dtype));
    const isPatterns = initial instanceof Uint16Array && bytesOf(dtype) === 2;
    return isPatterns ? initial : toHostArray(initial, dtype);
  }

  #upload(device: Device, buffer: GPUBuffer, offsetBytes: number, data: HostArray): void {
    const bytes = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
    const padded =
      bytes.length % 4 === 0
        ? bytes
        : Uint8Array.from({ length: bytes.length + 2 }, (_, i) => bytes[i] ?? 0);
    device.gpu.queue.writeBuffer(buffer, offsetBytes, padded);
  }

  #checkPart(from: number, to: number): void {
    const isPart = Number.isInteger(from) && Number.isInteger(to) && from >= 0 && from <= to;
    if (isPart && to <= this.size && bytesOf(this.dtype) === 4) return;
    throw new ForgeError({
      code: "argument_invalid",
      what: `readPart: state "${this.name}" has no such part.`,
      got: `elements ${from} to ${to} of ${this.size}, ${this.dtype}`,
      fix: "read a part of a state of 4-byte elements",
    });
  }

  #checkAlive(): void {
    if (!this.#isDisposed) return;
    throw new ForgeError({
      code: "use_after_dispose",
      what: `state "${this.name}" is disposed.`,
      fix: "dispose a state only when no function uses it any more",
    });
  }
}

/** A trainable state. What is held in bf16 can be no optimizer's, and has no gradient. */
export function parameter(
  shape: Shape,
  initial: Initial,
  name: string,
  dtype: DType = "f32",
): State {
  return new State(shape, dtype, initial, name, true);
}

/** The state behind a source node, if it is one. */
export function stateOf(tensor: Tensor): State | undefined {
  return tensor.node.op === stateOp ? (tensor.node.attributes["state"] as State) : undefined;
}

/** What a function being traced has recorded so far. */
export interface Trace {
  readonly assignments: Map<State, Tensor>;
  /** Called before every replay: what the host must write for the coming call (step counts, learning rates). */
  readonly beforeCalls: ((device: Device) => void)[];
}

let currentTrace: Trace | undefined;

/** The trace that is being recorded: undefined outside of compiled functions. */
export function activeTrace(): Trace | undefined {
  return currentTrace;
}

/** Runs `fn` while recording its assignments. Traces do not nest. */
export function traced<T>(fn: () => T): { result: T; trace: Trace } {
  if (currentTrace) {
    throw new ForgeError({
      code: "state_conflict",
      what: "compile: a compiled function is called while another is being traced.",
      fix: "call the plain function inside, and compile only the outermost one",
    });
  }
  const trace: Trace = { assignments: new Map(), beforeCalls: [] };
  currentTrace = trace;
  try {
    return { result: fn(), trace };
  } finally {
    currentTrace = undefined;
  }
}

/** The value that the function being traced has assigned to a state so far; else the state itself. */
export function latestValue(state: State): Tensor {
  return currentTrace?.assignments.get(state) ?? state;
}

/** Registers what the host does before every call of the function being traced. Errors: `state_conflict` outside of one. */
export function beforeEveryCall(action: (device: Device) => void): void {
  if (!currentTrace) {
    throw new ForgeError({
      code: "state_conflict",
      what: "an update is made outside of a compiled function.",
      fix: "wrap the step in compile(() => …)",
    });
  }
  currentTrace.beforeCalls.push(action);
}
