/**
 * A WebGPU device with what the engine needs to know and count: features, kernel-relevant limits, live bytes, what is
 * running, and errors that name it.
 */
import { ForgeError } from "../error.ts";
import { BufferUsage, MAP_READ } from "./constants.ts";
import { fault } from "./fault.ts";
import { PipelineCache } from "./pipeline.ts";
import { waitGently } from "./polling.ts";
import { Tuning, type TuningMode } from "./tuning.ts";

/** How long news of a lost device may come behind the failures that it causes. */
const LOSS_DELAY_MS = 100;

/** Staging buffers kept for reuse. */
const MAX_STAGING = 4;

const keepAlive = new WeakMap<object, unknown>();

/** What a {@link Device} is made from. */
export interface DeviceParts {
  readonly gpu: GPUDevice;
  readonly info: GPUAdapterInfo;
  readonly toggles: readonly string[];
  /** How kernel variants are chosen. Default: `auto`; `off` on software adapters, where the estimates were measured. */
  readonly tuning?: TuningMode | undefined;
  /** Objects that must live as long as the device (see `dawn.ts`). */
  readonly keep?: unknown;
}

/** An open device. Dispose it to free everything that was made on it. */
export class Device implements Disposable {
  readonly gpu: GPUDevice;
  readonly info: GPUAdapterInfo;
  readonly limits: GPUSupportedLimits;
  /** Dawn toggles in force; empty in browsers. */
  readonly toggles: readonly string[];
  /** Whether kernels run on a CPU behind the API: other kernel variants are fast there. */
  readonly isSoftware: boolean;
  /** Whether `shader-f16` is on. */
  readonly hasF16: boolean;
  /** Whether subgroup matrices of f16 16×16×16 with f32 results can be used, with subgroups of 32 lanes. */
  readonly hasSubgroupMatrix: boolean;
  /**
   * What matrix products may round their operands to: `f16` allows tensor cores (f32 accumulation) where the adapter has
   * them. Default `f32`.
   */
  matmulPrecision: "f32" | "f16" = "f32";
  /** Lanes of a subgroup, when the adapter has only one size and subgroup operations; else undefined. */
  readonly subgroupSize: number | undefined;
  /** Whether timestamps can be taken. */
  readonly hasTimestamps: boolean;
  readonly pipelines: PipelineCache;
  /** Which kernel variants are used for which shapes. */
  readonly tuning: Tuning;
  #liveBytes = 0;
  #peakBytes = 0;
  #running = "nothing";
  #lost: ForgeError | undefined;
  #uncaptured: ForgeError | undefined;
  #hasErred = false;
  /** What to tell those who wait when the device is lost. A race with one long-lived promise would keep them all alive. */
  readonly #waiting = new Set<(error: ForgeError) => void>();
  #isDisposed = false;
  readonly #staging: GPUBuffer[] = [];
  #status: GPUBuffer | undefined;

  constructor(parts: DeviceParts) {
    this.gpu = parts.gpu;
    this.info = parts.info;
    this.toggles = parts.toggles;
    keepAlive.set(this, parts.keep);
    this.limits = parts.gpu.limits;
    this.isSoftware = isSoftware(parts.info);
    this.hasF16 = parts.gpu.features.has("shader-f16");
    this.hasTimestamps = parts.gpu.features.has("timestamp-query");
    this.hasSubgroupMatrix = hasSubgroupMatrix(parts);
    const { subgroupMinSize: min, subgroupMaxSize: max } = parts.info;
    this.subgroupSize = parts.gpu.features.has("subgroups") && min === max ? min : undefined;
    this.pipelines = new PipelineCache(parts.gpu);
    this.tuning = new Tuning(scopeOf(this), parts.tuning ?? (this.isSoftware ? "off" : "auto"));
    void parts.gpu.lost.then((info) => {
      const lost = new ForgeError({
        code: "device_lost",
        what: `the GPU device was lost while running ${this.#running}.`,
        got: `${info.reason}: ${info.message || "no message"}`,
        why: "the driver reset, ran out of memory, or the device was disposed",
        fix: "open a new device and resume from the last checkpoint",
      });
      this.#lost = lost;
      for (const reject of this.#waiting) reject(lost);
    });
    parts.gpu.onuncapturederror = (event): void => {
      const isConsequence = this.#hasErred && /due to a previous error/.test(event.error.message);
      this.#hasErred = true;
      if (!isConsequence) this.#uncaptured ??= this.#fromGpuError(event.error, this.#running);
    };
  }

  /** One line for run headers and tables: vendor, architecture, device, driver. */
  get name(): string {
    const { vendor, architecture, device, description } = this.info;
    return (
      [vendor, architecture, device, description].filter(Boolean).join(" ") || "unknown adapter"
    );
  }

  /** Bytes of GPU buffers alive now. */
  get liveBytes(): number {
    return this.#liveBytes;
  }

  /** Largest value `liveBytes` has had. */
  get peakBytes(): number {
    return this.#peakBytes;
  }

  /** Refuse plans that would take live bytes over this; undefined means no limit beyond the adapter's. */
  memoryBudgetBytes: number | undefined;

  /** Name of the work submitted last, for errors. */
  get running(): string {
    return this.#running;
  }

  /** Largest buffer that can be made and bound whole, in bytes. */
  get maxBufferBytes(): number {
    return Math.min(this.limits.maxBufferSize, this.limits.maxStorageBufferBindingSize);
  }

  /** Throws when the device is gone or has reported an error that nobody caught. */
  check(): void {
    if (this.#isDisposed) {
      throw new ForgeError({
        code: "use_after_dispose",
        what: "the device is disposed.",
        fix: "open a new device, or dispose this one later",
      });
    }
    if (this.#lost) throw this.#lost;
    const error = this.#uncaptured;
    this.#uncaptured = undefined;
    if (error) throw error;
  }

  /**
   * Makes buffers, all or none.
   *
   * Errors    `device_limit` before anything is allocated when a size is over the adapter's limit;
   *           `out_of_memory` when the driver has no room.
   */
  async createBuffers(requests: readonly BufferRequest[]): Promise<GPUBuffer[]> {
    this.check();
    for (const request of requests) this.#checkSize(request);
    this.gpu.pushErrorScope("out-of-memory");
    const buffers = requests.map((r) => this.#create(r));
    const error = await waitGently(() => this.gpu.popErrorScope());
    if (error) {
      for (const buffer of buffers) this.destroyBuffer(buffer);
      throw this.#fromGpuError(error, requests.map((r) => r.label).join(", "));
    }
    return buffers;
  }

  /** Makes one buffer without waiting for the driver's answer; an error surfaces at the next wait. */
  createBuffer(request: BufferRequest): GPUBuffer {
    this.check();
    this.#checkSize(request);
    return this.#create(request);
  }

  /** Destroys a buffer and takes its bytes off the count. */
  destroyBuffer(buffer: GPUBuffer): void {
    this.#liveBytes -= buffer.size;
    buffer.destroy();
  }

  /** Submits recorded commands under a name that errors will give. */
  submit(label: string, commands: GPUCommandBuffer): void {
    this.check();
    this.#running = label;
    this.gpu.queue.submit([commands]);
  }

  /** Resolves when all submitted work is done; throws what went wrong in it. */
  async idle(): Promise<void> {
    await this.wait(() => this.gpu.queue.onSubmittedWorkDone());
  }

  /** Waits for one WebGPU promise without spinning; fails at once when the device is lost. */
  async wait<T>(begin: () => Promise<T>): Promise<T> {
    this.check();
    let stopWaiting: ((error: ForgeError) => void) | undefined;
    try {
      const lost = new Promise<never>((_resolve, reject) => {
        stopWaiting = reject;
        this.#waiting.add(reject);
      });
      return await Promise.race([waitGently(begin), lost]);
    } catch (cause) {
      // browsers reject what waits before they tell that the device is lost
      if (!(cause instanceof ForgeError)) await Promise.race([this.gpu.lost, delay(LOSS_DELAY_MS)]);
      throw cause;
    } finally {
      if (stopWaiting) this.#waiting.delete(stopWaiting);
      this.check(); // an error of the device says more than what it made of this call
    }
  }

  /** Whether any plan has bound the status word. */
  get hasStatus(): boolean {
    return this.#status !== undefined;
  }

  /** One u32 that kernels raise when they meet invalid data (see {@link fault}); every read checks it. */
  get statusBuffer(): GPUBuffer {
    const usage = BufferUsage.STORAGE | BufferUsage.COPY_SRC | BufferUsage.COPY_DST;
    this.#status ??= this.createBuffer({ label: "status", sizeBytes: 16, usage });
    return this.#status;
  }

  /** Clears the status word and throws what it says. */
  reportStatus(word: number): never {
    this.gpu.queue.writeBuffer(this.statusBuffer, 0, new Uint32Array([0]));
    throw fault(word, this.#running);
  }

  /** A buffer for reading back at least `sizeBytes`; give it back with `returnStaging`. */
  takeStaging(sizeBytes: number): GPUBuffer {
    const fit = this.#staging.findIndex(
      (b) => b.size >= sizeBytes && b.size <= 4 * sizeBytes + 4096,
    );
    const [found] = fit >= 0 ? this.#staging.splice(fit, 1) : [];
    if (found) return found;
    const usage = BufferUsage.COPY_DST | BufferUsage.MAP_READ;
    return this.createBuffer({ label: "staging", sizeBytes: Math.max(256, sizeBytes), usage });
  }

  /** Keeps a staging buffer for the next read; of those kept, the one unused for longest goes when there are enough. */
  returnStaging(buffer: GPUBuffer): void {
    if (this.#lost || this.#isDisposed) {
      this.destroyBuffer(buffer);
      return;
    }
    this.#staging.push(buffer);
    if (this.#staging.length > MAX_STAGING) this.destroyBuffer(this.#staging.shift() as GPUBuffer);
  }

  /** Maps a staging buffer, hands its bytes to `use`, and unmaps it. */
  async readMapped<T>(
    staging: GPUBuffer,
    sizeBytes: number,
    use: (bytes: ArrayBuffer) => T,
  ): Promise<T> {
    await this.wait(() => staging.mapAsync(MAP_READ, 0, sizeBytes));
    try {
      return use(staging.getMappedRange(0, sizeBytes));
    } finally {
      staging.unmap();
    }
  }

  [Symbol.dispose](): void {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    this.gpu.destroy();
  }

  #create(request: BufferRequest): GPUBuffer {
    // an empty tensor is bound too, and the widest element that a kernel declares has 16 bytes
    const size = Math.max(16, Math.ceil(request.sizeBytes / 4) * 4);
    const buffer = this.gpu.createBuffer({ label: request.label, size, usage: request.usage });
    this.#liveBytes += size;
    this.#peakBytes = Math.max(this.#peakBytes, this.#liveBytes);
    return buffer;
  }

  #checkSize(request: BufferRequest): void {
    const limit =
      request.usage & BufferUsage.STORAGE ? this.maxBufferBytes : this.limits.maxBufferSize;
    if (request.sizeBytes <= limit) return;
    throw new ForgeError({
      code: "device_limit",
      what: `buffer "${request.label}" is larger than this adapter allows.`,
      got: `${request.sizeBytes} bytes`,
      why: `the limit is ${limit} bytes`,
      fix: "make the tensor smaller: a smaller batch, a shorter sequence, or chunks",
    });
  }

  #fromGpuError(error: GPUError, running: string): ForgeError {
    const isMemory = error.constructor.name === "GPUOutOfMemoryError";
    return new ForgeError({
      code: isMemory ? "out_of_memory" : "validation",
      what: isMemory ? `no GPU memory for ${running}.` : `the driver refused ${running}.`,
      got: error.message,
      why: isMemory ? `${this.#liveBytes} bytes are live on this device` : "see the message",
      fix: isMemory
        ? "lower the batch size, or dispose what is not needed"
        : "report this with `forge-gpu doctor --json`",
      cause: error,
    });
  }
}

/** Everything but the shaders that a kernel's time and results depend on. */
function scopeOf(device: Device): string {
  const { name, toggles, subgroupSize, hasF16, hasSubgroupMatrix, limits } = device;
  const features = {
    subgroupSize,
    hasF16,
    hasSubgroupMatrix,
    workgroupBytes: limits.maxComputeWorkgroupStorageSize,
  };
  return [name, ...toggles, ...Object.entries(features).map((e) => e.join(" "))].join(" · ");
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

/** A buffer to make. */
export interface BufferRequest {
  readonly label: string;
  readonly sizeBytes: number;
  readonly usage: number;
}

/** True for adapters that compute on the CPU: Mesa's llvmpipe, SwiftShader, and what browsers call a fallback. */
export function isSoftware(info: GPUAdapterInfo): boolean {
  const text =
    `${info.vendor} ${info.architecture} ${info.device} ${info.description}`.toLowerCase();
  return (
    /software|swiftshader|llvmpipe|lavapipe|basic render/.test(text) ||
    info.isFallbackAdapter === true
  );
}

interface SubgroupMatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/** Features without which there are no subgroup matrices. */
export const SUBGROUP_MATRIX_FEATURES = [
  "shader-f16",
  "subgroups",
  "subgroup-size-control",
  "chromium-experimental-subgroup-matrix",
] as const;

/** Dawn lists the sizes that the driver offers; the feature alone says nothing. */
function hasSubgroupMatrix({ gpu, info }: DeviceParts): boolean {
  const features = gpu.features as ReadonlySet<string>;
  if (!SUBGROUP_MATRIX_FEATURES.every((f) => features.has(f))) return false;
  if ((info.subgroupMinSize ?? 0) > 32 || (info.subgroupMaxSize ?? 0) < 32) return false;
  const configs =
    (info as { subgroupMatrixConfigs?: readonly SubgroupMatrixConfig[] }).subgroupMatrixConfigs ??
    [];
  return configs.some(
    (c) =>
      c.componentType === "f16" &&
      c.resultComponentType === "f32" &&
      c.M === 16 &&
      c.N === 16 &&
      c.K === 16,
  );
}
