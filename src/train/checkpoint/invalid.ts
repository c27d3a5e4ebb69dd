/** The error of a checkpoint that cannot be used: it names the file and says why. */
import { ForgeError } from "../../../engine/error.ts";

/** What is wrong with a checkpoint. */
interface CheckpointFault {
  /** The file of it, or what else it is about. */
  readonly file: string;
  /** The claim that does not hold, as the end of "<checkpoint>: <file> …". */
  readonly what: string;
  readonly got?: string;
  readonly why?: string;
  readonly fix?: string;
  readonly cause?: unknown;
}

/** A `checkpoint_invalid` error about the checkpoint at `path`. */
export function checkpointInvalid(path: string, fault: CheckpointFault): ForgeError {
  const { file, what, fix = "resume from another checkpoint", ...rest } = fault;
  return new ForgeError({
    code: "checkpoint_invalid",
    what: `${path}: ${file} ${what}.`,
    fix,
    ...rest,
  });
}

/** What another error says, in one line. */
export function reasonOf(error: unknown): string {
  const { message } = error as Error;
  return message.split("\n", 1)[0] as string;
}
