/** The two models that are saved in turns; they differ in every file. */
import { type CausalLM, createModel } from "../../../engine/index.ts";
import type { SaveDirectoryOptions } from "../../../src/models/directory.ts";

export function turnModel(turn: number): CausalLM {
  const sizes = { vocab: 1000, layers: 2, width: 64, heads: 4, mlpWidth: 128 };
  return createModel({ ...sizes, seed: turn, isTied: turn === 0 });
}

export function turnOptions(turn: number): SaveDirectoryOptions {
  const files = { "notes.txt": `turn ${turn}`, "more.json": { turn } };
  return { overwrite: true, maxShardBytes: 100_000 - 20_000 * turn, files };
}
