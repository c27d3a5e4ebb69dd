/**
 * Bytes at offsets: all that the readers of model files ask of a file, so that a file on disk, one that a browser was
 * given, and one in memory are read alike.
 */
import { fileInvalid } from "./file-invalid.ts";

/** A file of known size that is read in pieces. */
export interface ByteSource {
  /** What messages call it: a file name or path. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /**
   * The `length` bytes from `offset` on, all of them. They may be a view of what the source holds: do not write to them.
   * `room` has at least `length` bytes, for a source that must copy: it gives those, and garbage does not pile up.
   *
   * Errors    `file_invalid` when the range is not inside the file, or the file can no longer be read.
   */
  read(offset: number, length: number, room?: Uint8Array): Promise<Uint8Array>;
}

/** A source over bytes in memory; reads are views, not copies. */
export function bytesSource(name: string, data: Uint8Array): ByteSource {
  // a Buffer of Node is a Uint8Array whose slice() does not copy: give out plain arrays
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return {
    name,
    size: bytes.length,
    read: async (offset, length) => {
      checkRange(name, bytes.length, offset, length);
      return bytes.subarray(offset, offset + length);
    },
  };
}

/** A source over a Blob, for instance a File that a person chose in a browser; reads only what is asked for. */
export function blobSource(name: string, blob: Blob): ByteSource {
  return {
    name,
    size: blob.size,
    read: async (offset, length) => {
      checkRange(name, blob.size, offset, length);
      try {
        return new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
      } catch (cause) {
        throw fileInvalid(name, {
          what: "it can no longer be read.",
          got: String(cause),
          fix: "choose the file again: it was changed or removed",
          cause,
        });
      }
    },
  };
}

function checkRange(name: string, size: number, offset: number, length: number): void {
  if (offset >= 0 && length >= 0 && offset + length <= size) return;
  throw fileInvalid(name, {
    what: "bytes outside the file were asked for.",
    got: `${length} bytes at ${offset}, in a file of ${size}`,
  });
}
