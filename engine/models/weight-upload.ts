/** Weights from the tensors of a checkpoint to the GPU, a chunk at a time. */
import { ForgeError } from "../error.ts";
import type { Device } from "../gpu/device.ts";
import { type DType, type HostArray, hostArray } from "../tensor/dtype.ts";
import type { State } from "../tensor/state.ts";
import { firstNonFinite, formatOf, fromF32, halfWords, toF32 } from "./float-formats.ts";
import { type FloatDType, readTensor } from "./safetensors.ts";
import type { CheckpointTensor } from "./shards.ts";

/** Bytes of a tensor that are read at once. */
const CHUNK_BYTES = 2 ** 21;
/** Elements that are written in one call, and bytes that may be written before the GPU is waited for. */
const MOST_AT_ONCE = 2 ** 22;
const MOST_AHEAD_BYTES = 2 ** 25;

/**
 * Reads, checks, converts and writes weights in memory that is used again and again: in fresh memory, garbage would pile up
 * to several times what is held.
 */
export class WeightUpload {
  readonly #device: Device;
  readonly #onRead: (bytes: number) => void;
  readonly #chunk = new Uint8Array(CHUNK_BYTES);
  readonly #wide = new Float32Array(CHUNK_BYTES / 2);
  readonly #narrow = new Uint16Array(CHUNK_BYTES / 2);
  #whole = new ArrayBuffer(0);
  #aheadBytes = 0;

  constructor(device: Device, onRead: (bytes: number) => void) {
    this.#device = device;
    this.#onRead = onRead;
  }

  /** Room for all values of a state; those of the state before are gone. */
  roomFor({ dtype, size, sizeBytes }: State): HostArray {
    const bytes = Math.ceil(sizeBytes / 4) * 4;
    if (this.#whole.byteLength < bytes) this.#whole = new ArrayBuffer(bytes);
    return hostArray(dtype, this.#whole).subarray(0, size);
  }

  /**
   * The values of a tensor as `dtype`, chunk after chunk: one is gone when the next is asked for.
   *
   * Errors    `checkpoint_invalid` for NaN, infinity, and what the dtype cannot hold; those of reading.
   */
  async *read(tensor: CheckpointTensor, dtype: DType): AsyncGenerator<HostArray> {
    let at = 0;
    for await (const bytes of readTensor(tensor.source, tensor.entry, { room: this.#chunk })) {
      const values = this.#converted(tensor, bytes, at, dtype);
      yield values;
      at += values.length;
      this.#onRead(bytes.length);
    }
  }

  /** Writes values of a state from element `start` on. */
  async write(state: State, values: HostArray, start: number): Promise<void> {
    for (let at = 0; at < values.length; at += MOST_AT_ONCE) {
      const part = values.subarray(at, at + MOST_AT_ONCE);
      state.write(this.#device, part, start + at);
      this.#aheadBytes += part.byteLength;
      if (this.#aheadBytes >= MOST_AHEAD_BYTES) await this.finish();
    }
  }

  /** Waits for the GPU. Until it has taken what was written, the driver keeps a copy of its own on the host. */
  async finish(): Promise<void> {
    await this.#device.idle();
    this.#aheadBytes = 0;
  }

  #converted(tensor: CheckpointTensor, bytes: Uint8Array, at: number, dtype: DType): HostArray {
    const from = tensor.entry.dtype as FloatDType;
    const bad = firstNonFinite(bytes, from);
    if (bad >= 0) throw unusable(tensor, at + bad, "it holds NaN or infinity");
    const to = formatOf(dtype);
    if (to === "F32") return toF32(bytes, from, this.#wide);
    if (to === from) return halfWords(bytes);
    const narrow = fromF32(toF32(bytes, from, this.#wide), to, this.#narrow);
    const lost = firstNonFinite(narrow, to);
    const end = to === "F16" ? "65,504" : "3.39e38";
    if (lost >= 0) throw unusable(tensor, at + lost, `${dtype} ends at ${end}: load it as f32`);
    return halfWords(narrow);
  }
}

function unusable({ entry, source }: CheckpointTensor, at: number, why: string): ForgeError {
  return new ForgeError({
    code: "checkpoint_invalid",
    what: `${source.name}: the tensor "${entry.name}" cannot be used.`,
    got: `element ${at}`,
    why,
    fix: "fetch the file again, or use another checkpoint",
  });
}
