/** The packages of NATS, which are there for those who use them. */
import { ForgeError } from "../../../../engine/error.ts";

/** What of them is used. */
export interface NatsSdk {
  readonly transport: typeof import("@nats-io/transport-node");
  readonly jetstream: typeof import("@nats-io/jetstream");
  readonly kv: typeof import("@nats-io/kv");
}

/** Throws `package_missing` where they are not installed. */
export async function importNats(): Promise<NatsSdk> {
  try {
    // each awaited by itself: bundlers pass over one that they do not find within a try, and over nothing cleverer
    const transport = await import("@nats-io/transport-node");
    const jetstream = await import("@nats-io/jetstream");
    const kv = await import("@nats-io/kv");
    return { transport, jetstream, kv };
  } catch (cause) {
    throw new ForgeError({
      code: "package_missing",
      what: "the client of NATS is not installed.",
      got: cause instanceof Error ? (cause.message.split("\n", 1)[0] as string) : String(cause),
      why: "only nodes that meet by NATS need it, so forge-gpu does not bring it",
      fix: "npm install @nats-io/transport-node @nats-io/jetstream @nats-io/kv",
      cause,
    });
  }
}
