/** What a state consists of, as text: the hash of this text is the hash of the state. */
import { z } from "zod";
import { ForgeError } from "../../../engine/index.ts";

const blob = z.strictObject({
  hash: z.string().regex(/^[0-9a-f]{64}$/),
  size: z.int().min(0).max(Number.MAX_SAFE_INTEGER),
});

const schema = z.strictObject({
  format: z.literal(1),
  /** Training steps that are committed. */
  step: z.int().min(0),
  /** Updates of the optimizer. */
  updates: z.int().min(0),
  sync: z.enum(["zero1", "ddp"]),
  /** Sorted: those who made the step. Segment s of the moments is owned by member s − 1, and held by member s too. */
  members: z.array(z.string().max(128)).min(1).max(4096),
  /** f32, in the layout of the flat parameters. */
  parameters: blob,
  /** Of each segment m, then u, f32. */
  moments: z.array(blob).min(1).max(4096),
  /** What the step was about, with what a leader goes on from; `null` before the first one. */
  work: blob.nullable(),
});

/** See the file's head. */
export type Manifest = z.infer<typeof schema>;

/** A manifest as text. */
export function manifestOf(manifest: Manifest): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(manifest));
}

/** Errors: `config_invalid` for what is no manifest. */
export function readManifest(bytes: Uint8Array): Manifest {
  try {
    return schema.parse(JSON.parse(new TextDecoder().decode(bytes)));
  } catch (cause) {
    throw new ForgeError({
      code: "config_invalid",
      what: "cluster: the state of the others cannot be read.",
      got: cause instanceof Error ? (cause.message.split("\n", 1)[0] as string) : String(cause),
      fix: "start all nodes with the same version of forge-gpu",
      cause,
    });
  }
}
