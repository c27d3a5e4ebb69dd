/** What a state consists of, as text: the hash of this text is the hash of the state. */
import { z } from "zod";
import type { BlobRef } from "../../../cluster/index.ts";
import { ForgeError } from "../../../engine/index.ts";
import type { Way } from "./way.ts";

/** See the file's head. */
export interface Manifest {
  readonly format: 1;
  /** Training steps that are committed. */
  readonly step: number;
  /** Updates of the optimizer. */
  readonly updates: number;
  /** Those of them that the moments know nothing of; 0 where each node has moments of its own. */
  readonly momentsSince: number;
  readonly sync: Way;
  /** Sorted: those who made the step. With `zero1` segment s of the moments is owned by member s − 1, and held by member s too. */
  readonly members: readonly string[];
  /** f32, in the layout of the flat parameters. */
  readonly parameters: BlobRef;
  /** What makes them of the version before, where that is smaller. */
  readonly patch: { readonly base: string; readonly blob: BlobRef } | null;
  /** Of each segment m, then u, f32; one segment with `ddp`. With `diloco` the velocity of the outer optimizer, f32. */
  readonly moments: readonly BlobRef[];
  /** What a divergence is measured from, f32, where not every node can make it by itself. */
  readonly reference: BlobRef | null;
  /** What the step was about, with what a leader goes on from; `null` before the first one. */
  readonly work: BlobRef | null;
}

const hash = z.string().regex(/^[0-9a-f]{64}$/);
const blob = z.strictObject({
  hash,
  size: z.int().min(0).max(Number.MAX_SAFE_INTEGER),
});

const diloco = z.strictObject({
  ...{ every: z.int().min(1), outerLr: z.number().positive() },
  outerMomentum: z.number().min(0).lt(1),
});

const schema: z.ZodType<Manifest> = z
  .strictObject({
    ...{ format: z.literal(1), step: z.int().min(0) },
    ...{ updates: z.int().min(0), momentsSince: z.int().min(0) },
    sync: z.union([z.enum(["zero1", "ddp"]), diloco]),
    members: z.array(z.string().max(128)).min(1).max(4096),
    patch: z.strictObject({ base: hash, blob }).nullable(),
    ...{ parameters: blob, moments: z.array(blob).min(1).max(4096) },
    ...{ reference: blob.nullable(), work: blob.nullable() },
  })
  .refine(
    ({ sync, members, moments }) => moments.length === (sync === "zero1" ? members.length : 1),
  );

/** The state is that of another policy. @param got and wanted: numbers of parameters */
export function otherPolicy(got: number, wanted: number): ForgeError {
  return new ForgeError({
    code: "config_invalid",
    what: "cluster: the policy of the others is another one.",
    got: `${got} parameters, for ${wanted}`,
    fix: "start all nodes with the same configuration",
  });
}

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
