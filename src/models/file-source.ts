/** Files on disk as byte sources. */
import { type FileHandle, open } from "node:fs/promises";
import { type ByteSource, ForgeError } from "../../engine/index.ts";

/** An open file. */
export interface FileSource extends ByteSource {
  /** Closes it; reads fail from then on. */
  close(): Promise<void>;
}

/**
 * Opens a file for reading at offsets. Its size is what it is now.
 *
 * Errors    `file_invalid` when it does not exist, is no file, or cannot be read; from `read` also when it has shrunk.
 */
export async function openFileSource(path: string): Promise<FileSource> {
  const handle = await open(path).catch((cause: Error) => {
    throw unreadable(path, "it cannot be opened.", cause.message, cause);
  });
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) throw unreadable(path, "it is no file.");
    return fileSource(path, stat.size, handle);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

function fileSource(name: string, size: number, handle: FileHandle): FileSource {
  return {
    name,
    size,
    close: () => handle.close(),
    read: async (offset, length, room) => {
      if (!(offset >= 0 && length >= 0 && offset + length <= size)) {
        const got = `${length} bytes at ${offset}, in a file of ${size}`;
        throw unreadable(name, "bytes outside the file were asked for.", got);
      }
      const bytes = room ? room.subarray(0, length) : new Uint8Array(length);
      // one call reads at most 2 GiB, and fewer bytes than asked for is no error
      for (let have = 0; have < length; ) {
        const { bytesRead } = await handle
          .read(bytes, have, length - have, offset + have)
          .catch((cause: Error) => {
            throw unreadable(name, "it cannot be read.", cause.message, cause);
          });
        if (bytesRead === 0) {
          const got = `${have} of ${length} bytes at ${offset}; it had ${size} bytes when it was opened`;
          throw unreadable(name, "it has shrunk while it was read.", got);
        }
        have += bytesRead;
      }
      return bytes;
    },
  };
}

function unreadable(name: string, what: string, got?: string, cause?: unknown): ForgeError {
  return new ForgeError({
    code: "file_invalid",
    what: `${name}: ${what}`,
    ...(got !== undefined && { got }),
    cause,
  });
}
