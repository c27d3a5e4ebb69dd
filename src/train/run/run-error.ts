/** What the file system says, as forge-gpu says it of a run. */
import { ForgeError } from "../../../engine/error.ts";

/** Errors of places where nothing can be written, whatever is tried. */
const UNWRITABLE: readonly (string | undefined)[] = [
  "EACCES",
  "EEXIST",
  "EISDIR",
  "ENAMETOOLONG",
  "ENOTDIR",
  "EPERM",
  "EROFS",
];

/**
 * Does `work` on the files of a run.
 *
 * @throws ForgeError `disk_full`; `run_directory_unwritable` for what is read-only, somebody else's, or a file in the place
 * of a directory. Other errors stay as they are.
 */
export function onRunFiles<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw runError(error, path);
  }
}

export function runError(error: unknown, path: string): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  const got = `${message} (${path})`;
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new ForgeError({
      code: "disk_full",
      what: "the disk has no room for the run",
      got,
      fix: "make room and go on with --resume, which starts from the last checkpoint; checkpoint.keep says how many stay",
      cause: error,
    });
  }
  if (!UNWRITABLE.includes(code)) return error;
  return new ForgeError({
    code: "run_directory_unwritable",
    what: "the run directory cannot be written",
    got,
    fix: "let run.directory name a folder that this user may write and that is no file",
    cause: error,
  });
}
