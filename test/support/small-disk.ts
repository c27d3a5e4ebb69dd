/** A disk of a few MiB, which can be full. */
import { spawnSync } from "node:child_process";
import { appendFileSync, mkdtempSync, rmdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Bytes that are written at once to fill it. */
const PIECE = 1 << 14;

/** See the file's head. It is in memory, and gone with this. */
export class SmallDisk implements Disposable {
  readonly path: string = mkdtempSync(join(tmpdir(), "forge-small-disk-"));

  /** Errors: the system's, where this user may not mount; see {@link obstacle}. */
  constructor(mebibytes: number) {
    const options = ["-t", "tmpfs", "-o", `size=${mebibytes}m`, "none", this.path];
    const { status, error, stderr } = spawnSync("mount", options, { encoding: "utf8" });
    if (status === 0) return;
    rmdirSync(this.path);
    throw error ?? new Error(stderr);
  }

  /** Why there can be none here; undefined where there can. */
  static get obstacle(): string | undefined {
    if (process.platform !== "linux") return "tmpfs is Linux's";
    try {
      new SmallDisk(1)[Symbol.dispose]();
      return undefined;
    } catch {
      return "this user may not mount";
    }
  }

  /** Leaves no room but what is left of the last pages of files. */
  fill(): void {
    try {
      for (;;) appendFileSync(this.#filler, Buffer.alloc(PIECE));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
    }
  }

  /** Makes room again. */
  clear(): void {
    rmSync(this.#filler, { force: true });
  }

  [Symbol.dispose](): void {
    spawnSync("umount", ["-l", this.path]);
    rmdirSync(this.path);
  }

  get #filler(): string {
    return join(this.path, "filler");
  }
}
