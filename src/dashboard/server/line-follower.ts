/** Follows a file of lines while another process writes it. */
import { type FileHandle, open } from "node:fs/promises";

/** A line without its end, which is valid until the call returns; `offset` is where it begins, in bytes. */
type OnLine = (line: Buffer, offset: number) => void;

/** Whoever wants the lines. */
export interface LineReader {
  readonly onLine: OnLine;
  /** The file was cut or replaced: what was read before counts no more. */
  readonly onRestart: () => void;
  /** A line that is longer than {@link LINE_LIMIT} was skipped. */
  readonly onLongLine: () => void;
}

const NEWLINE = 10;
const PIECE_BYTES = 1 << 20;
/** No episode is as large; what has no line ends at all shall not fill the memory. */
export const LINE_LIMIT: number = 1 << 28;

/** See the file's head. A last line without an end is waited for. */
export class LineFollower {
  readonly #path: string;
  readonly #reader: LineReader;
  #inode: number | undefined;
  /** Bytes that were read, those of the torn line too. */
  #read = 0;
  #size = 0;
  #torn: Buffer[] = [];
  #tornBytes = 0;
  #reading: Promise<void> | undefined;

  constructor(path: string, reader: LineReader) {
    this.#path = path;
    this.#reader = reader;
  }

  /** Bytes that were read, and those that the file had when it was last looked at. */
  get progress(): { readonly read: number; readonly size: number } {
    return { read: this.#read, size: this.#size };
  }

  /** Reads what is new, to the end. A second call meanwhile waits for the same. A file that is not there is empty. */
  follow(): Promise<void> {
    this.#reading ??= this.#follow().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  /** Forgets what was read. */
  restart(): void {
    if (this.#read === 0) return;
    [this.#read, this.#size, this.#torn, this.#tornBytes] = [0, 0, [], 0];
    this.#reader.onRestart();
  }

  async #follow(): Promise<void> {
    const file = await openIfThere(this.#path);
    if (!file) return this.restart();
    try {
      const { size, ino } = await file.stat();
      if (size < this.#read || (this.#inode !== undefined && ino !== this.#inode)) this.restart();
      this.#inode = ino;
      this.#size = size;
      await this.#readTo(file, size);
    } finally {
      await file.close();
    }
  }

  async #readTo(file: FileHandle, size: number): Promise<void> {
    while (this.#read < size) {
      const at = this.#read;
      const piece = Buffer.allocUnsafe(Math.min(PIECE_BYTES, size - at));
      const { bytesRead } = await file.read(piece, 0, piece.length, at);
      if (bytesRead === 0 || this.#read !== at) return;
      this.#read += bytesRead;
      this.#take(piece.subarray(0, bytesRead), at);
    }
  }

  #take(piece: Buffer, at: number): void {
    let start = 0;
    for (let end = piece.indexOf(NEWLINE); end >= 0; end = piece.indexOf(NEWLINE, start)) {
      this.#end(piece.subarray(start, end), at + start);
      start = end + 1;
    }
    const rest = piece.subarray(start);
    this.#tornBytes += rest.length;
    if (this.#tornBytes > LINE_LIMIT) this.#torn = [];
    else if (rest.length > 0) this.#torn.push(rest);
  }

  #end(tail: Buffer, at: number): void {
    const before = this.#tornBytes;
    const pieces = this.#torn;
    [this.#torn, this.#tornBytes] = [[], 0];
    if (before + tail.length > LINE_LIMIT) this.#reader.onLongLine();
    else this.#reader.onLine(before === 0 ? tail : Buffer.concat([...pieces, tail]), at - before);
  }
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
