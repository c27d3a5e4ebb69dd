/** A connection to a server of NATS, and what goes wrong with one. */
import type { JetStreamClient, JetStreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { ForgeError } from "../../../../engine/error.ts";
import { readCredentials } from "./credentials.ts";
import { importNats, type NatsSdk } from "./sdk.ts";

/** Options of {@link NatsLink.open}. */
export interface NatsOptions {
  /** nats://host:port, or tls://host:port where nothing is to go in the clear; any server of one cluster. */
  readonly servers: readonly string[];
  /** What the server shows of this connection. */
  readonly name: string;
  /** See `readCredentials`. */
  readonly credentials?: string;
  /** Paths of PEM files: who signs the server's certificate, and this node's own with its key. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  /** Milliseconds within which a server has to answer. Default 10,000. */
  readonly patience?: number;
}

/** Milliseconds for one try to connect, and between two. */
const [TRY, RETRY] = [2000, 250];
/** Milliseconds for one request: a client that is not connected waits for as long. */
const REQUEST = 5000;
/** Between two signs of life; two missed are a death. Half-open connections are seen by nothing else. */
const PING = 5000;

/**
 * It finds back to its server by itself, for ever; meanwhile requests fail with `nats_unreachable`. When credentials are refused
 * it ends, and all that is asked of it fails with `nats_unauthorized`.
 */
export class NatsLink implements AsyncDisposable {
  readonly sdk: NatsSdk;
  readonly connection: NatsConnection;
  readonly jetstream: JetStreamClient;
  readonly manager: JetStreamManager;
  readonly #servers: string;
  #end: { readonly error: ForgeError } | undefined;

  private constructor(
    sdk: NatsSdk,
    connection: NatsConnection,
    { servers }: Pick<NatsOptions, "servers">,
    manager: JetStreamManager,
  ) {
    this.sdk = sdk;
    this.connection = connection;
    this.#servers = servers.join(", ");
    this.manager = manager;
    this.jetstream = sdk.jetstream.jetstream(connection, { timeout: REQUEST });
    void connection.closed().then((error) => {
      this.#end = { error: error ? natsError(error, this.#servers) : closed(this.#servers) };
    });
  }

  /**
   * Connects, trying for as long as `patience` says.
   *
   * Errors    `package_missing`; `config_invalid`; `nats_unauthorized`; `nats_unreachable`; `nats_refused` for a server without
   *           JetStream.
   */
  static async open(options: NatsOptions): Promise<NatsLink> {
    const { servers, name, credentials, tls, patience = 10_000 } = options;
    const sdk = await importNats();
    const { ca, cert, key } = tls ?? {};
    const isSecret = tls !== undefined || servers.some((server) => server.startsWith("tls:"));
    const authenticator =
      credentials === undefined ? undefined : await readCredentials(credentials, sdk);
    const given = {
      ...{ servers: [...servers], name, timeout: TRY, pingInterval: PING, noAsyncTraces: true },
      ...{ reconnectTimeWait: RETRY, reconnectJitter: RETRY, maxReconnectAttempts: -1 },
      ...(authenticator && { authenticator }),
      ...(isSecret && {
        tls: {
          ...(ca && { caFile: ca }),
          ...(cert && { certFile: cert }),
          ...(key && { keyFile: key }),
        },
      }),
    };
    const end = performance.now() + patience;
    for (;;) {
      try {
        const connection = await sdk.transport.connect(given);
        return await NatsLink.#over(sdk, connection, options);
      } catch (thrown) {
        const error = natsError(thrown, servers.join(", "));
        if (error.code !== "nats_unreachable" || performance.now() > end) throw error;
        await new Promise((resolve) => setTimeout(resolve, RETRY));
      }
    }
  }

  static async #over(
    sdk: NatsSdk,
    connection: NatsConnection,
    options: NatsOptions,
  ): Promise<NatsLink> {
    try {
      const manager = await sdk.jetstream.jetstreamManager(connection, { timeout: REQUEST });
      return new NatsLink(sdk, connection, options, manager);
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  /** Bytes of a message at most; the server says so. */
  get maxPayload(): number {
    return this.connection.info?.max_payload ?? 2 ** 20;
  }

  /** Errors    why there is no connection any more, where that is for good. */
  check(): void {
    if (this.#end) throw this.#end.error;
  }

  /** What a request was answered with. Errors: `nats_refused`, `nats_unauthorized`, `nats_unreachable`. */
  async ask<T>(request: () => Promise<T>): Promise<T> {
    this.check();
    try {
      return await request();
    } catch (error) {
      this.check();
      throw natsError(error, this.#servers);
    }
  }

  /** What was published is on its way when this is fulfilled, if there is a connection. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.connection.isClosed()) return;
    // what nobody answers is not waited for
    const flushed = this.connection.flush().catch(() => {});
    await Promise.race([flushed, new Promise((resolve) => setTimeout(resolve, TRY).unref())]);
    await this.connection.close();
  }
}

/** The server's number of what it refuses; undefined for other errors. */
export function refusalOf(error: unknown): number | undefined {
  const { cause } = error instanceof ForgeError ? error : { cause: error };
  return cause instanceof Error && "code" in cause && typeof cause.code === "number"
    ? cause.code
    : undefined;
}

/** By the names of the client's errors: its classes are there only where the package is. */
function natsError(error: unknown, servers: string): ForgeError {
  if (error instanceof ForgeError) return error;
  const text = error instanceof Error ? error.message : String(error);
  const name = error instanceof Error ? error.name : "";
  const got = `${servers}: ${text.split("\n", 1)[0]}`;
  if (/^(AuthorizationError|UserAuthenticationExpiredError|PermissionViolationError)$/.test(name)) {
    return new ForgeError({
      code: "nats_unauthorized",
      what: "the server of NATS does not let this node in.",
      got,
      fix: "give the file of credentials that the server knows: --nats-creds or FORGE_NATS_CREDS",
      cause: error,
    });
  }
  if (/^(JetStream\w*|StreamNotFoundError|ConsumerNotFoundError)$/.test(name)) {
    return new ForgeError({
      code: "nats_refused",
      what: "the server of NATS refuses.",
      got,
      fix: "start it with JetStream (nats-server -js -sd <folder>), and with room for the run's streams",
      cause: error,
    });
  }
  return new ForgeError({
    code: "nats_unreachable",
    what: "the server of NATS does not answer.",
    got,
    fix: "check that it runs, and that --rdzv has its address",
    cause: error,
  });
}

function closed(servers: string): ForgeError {
  return new ForgeError({
    code: "use_after_dispose",
    what: "the connection to NATS is closed.",
    got: servers,
    fix: "open another one",
  });
}
