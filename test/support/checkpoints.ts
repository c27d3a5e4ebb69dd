/** What is in checkpoints, as text that can be compared. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import type { Checkpoint } from "../../src/train/checkpoint/contents.ts";
import { contentsOf } from "./checkpoint-contents.ts";

/** A folder for the tests of a file, gone when they are done. */
export function temporaryFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `forge-gpu-${name}-`));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Everything in a checkpoint as text, floats by their bits. */
export async function textOf({ step, state, tensors, writtenWith }: Checkpoint): Promise<string> {
  const files: unknown[] = [];
  for (const [name, file] of tensors) {
    for (const [tensor, { dtype, shape }] of file.tensors) {
      const parts: string[] = [];
      for await (const piece of file.pieces(tensor))
        parts.push(Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength).toString("hex"));
      files.push([name, file.metadata, tensor, dtype, shape, parts.join("")]);
    }
  }
  return JSON.stringify([step, state, writtenWith, files]);
}

/** What {@link textOf} gives of the checkpoint of a step when it is read. */
export async function writtenText(step: number, size?: number): Promise<string> {
  const { tensors, state, writtenWith } = contentsOf(step, size);
  const files: unknown[] = [];
  for (const [name, set] of Object.entries(tensors)) {
    for (const { name: tensor, dtype, shape, data } of set.tensors) {
      const { buffer, byteOffset, byteLength } = await data();
      const bits = Buffer.from(buffer, byteOffset, byteLength).toString("hex");
      files.push([name, set.metadata ?? {}, tensor, dtype, shape, bits]);
    }
  }
  return JSON.stringify([step, state, writtenWith, files]);
}

/** Names and contents of everything in a folder, two levels deep. */
export function listing(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      if (!entry.isDirectory()) return [`${entry.name} ${readFileSync(path, "base64")}`];
      return readdirSync(path).map(
        (name) => `${entry.name}/${name} ${readFileSync(join(path, name), "base64")}`,
      );
    })
    .sort();
}
