/** One file from a hub to the disk: resumed, verified, and under its final name only when it is whole. */
import { createHash, type Hash } from "node:crypto";
import { constants, createReadStream } from "node:fs";
import { type FileHandle, lstat, mkdir, open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { ForgeError } from "../../engine/index.ts";
import { PART_SUFFIX } from "./cache.ts";
import type { RemoteFile } from "./listing.ts";
import { answerInvalid } from "./refusal.ts";
import type { Repository } from "./repository.ts";
import { hubGet } from "./request.ts";
import { type RetryOptions, retrying, UnreachableError } from "./retry.ts";

const READ_BYTES = 1 << 20;

/** Where a file comes from, and who wants to know. */
export interface DownloadOptions extends RetryOptions {
  readonly repository: Repository;
  readonly commit: string;
  /** Called with the number of bytes that have come, and with a negative one for bytes that must come again. */
  readonly onBytes: (bytes: number) => void;
}

/** The size of the file at `path`, in bytes; undefined where there is none, or where it is a link. */
export async function sizeOf(path: string): Promise<number | undefined> {
  try {
    const seen = await lstat(path);
    return seen.isFile() ? seen.size : undefined;
  } catch {
    return undefined;
  }
}

/** Whether the file at `path` has the bytes that the hub promises. */
export async function isSame(path: string, file: RemoteFile): Promise<boolean> {
  if ((await sizeOf(path)) !== file.size) return false;
  const hash = hashFor(file);
  for await (const bytes of createReadStream(path, { highWaterMark: READ_BYTES }))
    hash.update(bytes);
  return hash.digest("hex") === file.sha;
}

/** Makes the folder that a file of `directory` lies in; a link on the way there would lead out of it. */
export async function makeFolderOf(directory: string, file: RemoteFile): Promise<void> {
  let folder = directory;
  for (const part of file.path.split("/").slice(0, -1)) {
    folder = join(folder, part);
    await mkdir(folder, { recursive: true });
    if ((await lstat(folder)).isDirectory()) continue;
    throw new ForgeError({
      code: "argument_invalid",
      what: `${file.path} would leave the folder of its model`,
      got: `${folder} is a link`,
      fix: "delete the link",
    });
  }
}

/**
 * Downloads a file into `directory`, going on where an earlier download stopped. Returns how many bytes of it were there.
 *
 * Throws `hash_mismatch` when the bytes are not those that the hub promised, after deleting them. After any other error
 * what has come is kept.
 */
export async function downloadFile(
  directory: string,
  file: RemoteFile,
  options: DownloadOptions,
): Promise<number> {
  const path = join(directory, file.path);
  const draft = `${path}${PART_SUFFIX}`;
  await makeFolderOf(directory, file);
  const reused = await fill(draft, file, options).catch(async (error: unknown) => {
    if (error instanceof ForgeError && error.code === "hash_mismatch") await rm(draft);
    throw error;
  });
  await rename(draft, path);
  return reused;
}

async function fill(draft: string, file: RemoteFile, options: DownloadOptions): Promise<number> {
  const flags = constants.O_RDWR | constants.O_CREAT | (constants.O_NOFOLLOW ?? 0);
  await using handle = await open(draft, flags);
  const part = await Part.of(handle, file);
  const reused = await fetchRest(part, file, options);
  const sha = part.sha();
  if (sha !== file.sha) throw mismatch(file, `${sha}, expected ${file.sha}`);
  await handle.sync();
  return reused;
}

/** Appends what is missing. Returns how many of the bytes that were there could be kept. */
async function fetchRest(part: Part, file: RemoteFile, options: DownloadOptions): Promise<number> {
  const { repository, commit, onBytes } = options;
  const path = file.path.split("/").map(encodeURIComponent).join("/");
  const url = `${repository.endpoint}/${repository.id}/resolve/${commit}/${path}`;
  let reused = part.size;
  let furthest = part.size;
  await retrying(options, async (advance) => {
    if (part.size === file.size) return;
    // An answer with a range is never compressed on the way; `bytes=0-` is the whole file.
    const headers = { range: `bytes=${part.size}-` };
    await hubGet(repository, url, headers, options, async (response, body) => {
      checkSize(response, part.size, file, url);
      if (response.status !== 206 && part.size > 0) {
        onBytes(-part.size);
        reused = 0;
        await part.restart();
      }
      for await (const bytes of body) {
        if (part.size + bytes.length > file.size)
          throw mismatch(file, `more than ${file.size} bytes`);
        await part.append(bytes);
        onBytes(bytes.length);
        if (part.size <= furthest) continue;
        furthest = part.size;
        advance();
      }
    });
    if (part.size === file.size) return;
    throw new UnreachableError("the connection ended early", `${part.size} of ${file.size} bytes`);
  });
  return reused;
}

/** Holds what the answer says of itself to what was asked for. */
function checkSize(response: Response, from: number, file: RemoteFile, url: string): void {
  const { status, headers } = response;
  const range = headers.get("content-range") ?? "";
  const [, start, total] = /^bytes (\d+)-\d+\/(\d+)$/.exec(range) ?? [];
  if (status === 206 && Number(start) !== from) {
    throw answerInvalid(url, `range ${JSON.stringify(range)} when asked for ${from} and following`);
  }
  const size =
    status === 206 ? total : headers.has("content-encoding") ? null : headers.get("content-length");
  if (size && Number(size) !== file.size)
    throw mismatch(file, `${size} bytes, expected ${file.size}`);
}

function mismatch({ path }: RemoteFile, got: string): ForgeError {
  return new ForgeError({
    code: "hash_mismatch",
    what: `${path} is not what the hub promised`,
    got,
    fix: "pull again: what came has been deleted; if it comes again, the hub or something on the way changes it",
  });
}

function hashFor({ sha, size }: RemoteFile): Hash {
  // SHA-1 has 40 digits: git's, of the bytes after a header.
  return sha.length === 64 ? createHash("sha256") : createHash("sha1").update(`blob ${size}\0`);
}

/** A file that is not whole yet, with the hash of what is there. */
class Part {
  readonly #handle: FileHandle;
  readonly #file: RemoteFile;
  #hash: Hash;
  /** Bytes that are there. */
  size = 0;

  private constructor(handle: FileHandle, file: RemoteFile) {
    this.#handle = handle;
    this.#file = file;
    this.#hash = hashFor(file);
  }

  /** What an earlier download has left; more than the whole file is nothing to go on from. */
  static async of(handle: FileHandle, file: RemoteFile): Promise<Part> {
    const part = new Part(handle, file);
    if ((await handle.stat()).size > file.size) await part.restart();
    const buffer = Buffer.allocUnsafe(READ_BYTES);
    for (;;) {
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, part.size);
      if (bytesRead === 0) return part;
      part.#hash.update(buffer.subarray(0, bytesRead));
      part.size += bytesRead;
    }
  }

  async append(bytes: Uint8Array): Promise<void> {
    for (let from = 0; from < bytes.length; ) {
      const { bytesWritten } = await this.#handle.write(
        bytes,
        from,
        bytes.length - from,
        this.size,
      );
      this.#hash.update(bytes.subarray(from, from + bytesWritten));
      this.size += bytesWritten;
      from += bytesWritten;
    }
  }

  async restart(): Promise<void> {
    await this.#handle.truncate(0);
    this.#hash = hashFor(this.#file);
    this.size = 0;
  }

  /** The hash of what is there, in hexadecimal. */
  sha(): string {
    return this.#hash.copy().digest("hex");
  }
}
