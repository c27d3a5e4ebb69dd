/** A file that grows at its end by whole pieces. */
import {
  closeSync,
  fdatasyncSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  writeSync,
} from "node:fs";
import { onRunFiles } from "./run-error.ts";

/**
 * A file of which a piece is there as a whole or not at all, except the last one of a process that was killed.
 *
 * A piece is handed to the operating system at once, so that a killed process loses none; {@link sync} makes the pieces
 * outlive the machine's power.
 */
export class AppendFile {
  readonly path: string;
  readonly #file: number;
  #size: number;

  /**
   * Opens a file, or makes an empty one; `isNew` makes one that is there an error.
   *
   * @throws ForgeError `disk_full`, `run_directory_unwritable`
   */
  constructor(path: string, isNew = false) {
    this.path = path;
    this.#file = onRunFiles(path, () => openSync(path, isNew ? "ax+" : "a+"));
    this.#size = fstatSync(this.#file).size;
  }

  /** In bytes. */
  get size(): number {
    return this.#size;
  }

  /**
   * Adds a piece. One that does not fit on the disk leaves the file as it was.
   *
   * @throws ForgeError `disk_full`, `run_directory_unwritable`
   */
  append(piece: Uint8Array): void {
    onRunFiles(this.path, () => {
      let written = 0;
      try {
        while (written < piece.length) written += writeSync(this.#file, piece, written);
      } catch (error) {
        if (written > 0) this.truncate(this.#size);
        throw error;
      }
    });
    this.#size += piece.length;
  }

  /** Fills `into` with the bytes from `offset` on; returns how many there are. */
  read(into: Uint8Array, offset: number): number {
    return readSync(this.#file, into, 0, into.length, offset);
  }

  /** Cuts what is behind the first `size` bytes. One call of the system: all or nothing. */
  truncate(size: number): void {
    onRunFiles(this.path, () => ftruncateSync(this.#file, size));
    this.#size = size;
  }

  /** Returns once everything is on the disk. */
  sync(): void {
    onRunFiles(this.path, () => fdatasyncSync(this.#file));
  }

  close(): void {
    closeSync(this.#file);
  }
}
