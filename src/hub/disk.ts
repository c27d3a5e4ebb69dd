/** A disk without room. */
import { statfs } from "node:fs/promises";
import { ForgeError } from "../../engine/index.ts";
import { bytesText } from "../terminal/units.ts";

/** Throws `disk_full` where the disk of a directory has no room for so many bytes. */
export async function checkRoom(directory: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(directory);
  if (bytes <= bavail * bsize) return;
  throw diskFull(directory, `${bytesText(bytes)} to download, ${bytesText(bavail * bsize)} free`);
}

/** An error of the file system as forge-gpu says it: `disk_full` where that is what happened. */
export function diskError(error: unknown, directory: string): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (code !== "ENOSPC" && code !== "EDQUOT") return error;
  return diskFull(directory, (error as Error).message, error);
}

function diskFull(directory: string, got: string, cause?: unknown): ForgeError {
  return new ForgeError({
    code: "disk_full",
    what: "the disk has no room for the model",
    got: `${got} (${directory})`,
    fix: "make room, or let FORGE_CACHE name a folder on another disk; what has been downloaded is kept",
    cause,
  });
}
