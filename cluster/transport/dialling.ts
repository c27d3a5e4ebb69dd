/** What is needed to dial a node, on either plane. */
import type { Clock } from "./clock.ts";
import { HEADER, TRANSPORT_VERSION } from "./handshake.ts";
import { checkNodeId, checkRunId, type Role } from "./identity.ts";
import type { TransportLimits } from "./limits.ts";
import type { TlsFiles } from "./tls.ts";
import type { Token } from "./token.ts";

/** Who dials, and whom. */
export interface DialOptions {
  readonly runId: string;
  readonly nodeId: string;
  /** Which node is to answer. Default: any of the run; with TLS, one whose certificate has the name that is dialled. */
  readonly peer?: string;
  /** Default: trainer. */
  readonly role?: Role;
  readonly token: Token;
  /** Certificates, for wss:// only. */
  readonly tls?: Partial<TlsFiles>;
  readonly limits?: Partial<TransportLimits>;
  /** Default: this machine's. */
  readonly clock?: Clock;
  /** Gives up. */
  readonly signal?: AbortSignal;
}

/** Headers that say who asks to be let in. */
export function headersOf({
  runId,
  nodeId,
  role = "trainer",
  token,
}: DialOptions): Record<string, string> {
  return {
    Authorization: `Bearer ${token.bearer(role).reveal()}`,
    [HEADER.version]: TRANSPORT_VERSION,
    [HEADER.run]: checkRunId(runId),
    [HEADER.node]: checkNodeId(nodeId),
  };
}
