/** What the two threads of a node say to each other: where its control plane runs, and where its host does. */
import type { ClusterHost } from "../membership/host.ts";
import type { AttemptStatus } from "../membership/message.ts";
import type { NodeId } from "../membership/record.ts";
import type { Route, RouteRequest } from "../transport/route.ts";
import type { EncodedAnswer } from "../transport/route-answer.ts";
import type { Addresses, NodeView } from "./running.ts";
import type { RunningNodeOptions } from "./running-node.ts";

/** Options that the thread is started with, beside the token and the routes. */
export const POSTED = [
  "host",
  "exposeAll",
  "port",
  "runId",
  "nodeId",
  "tls",
  "limits",
  "membership",
  "advertise",
  "advertiseRings",
] as const;

/** What the thread is started with. */
export interface NodeThreadData {
  readonly options: Pick<RunningNodeOptions, (typeof POSTED)[number]>;
  readonly token: string;
  /** Milliseconds that the host may say nothing. */
  readonly hostMs: number;
  /** They are answered by the host, who knows them by their places here. */
  readonly routes: readonly Omit<Route, "answer">[];
}

/** To the control plane. */
export type NodeOrder =
  | {
      readonly do: "found";
      readonly call: number;
      readonly step: number;
      readonly hash: string;
    }
  | { readonly do: "join"; readonly call: number; readonly address: string }
  | {
      readonly do: "ready";
      readonly step: number;
      readonly hash: string;
      readonly work: string | null;
    }
  | { readonly do: "ended"; readonly end: AttemptStatus }
  | { readonly do: "leave" }
  /** The host is there, and has nothing to say. */
  | { readonly do: "nothing" }
  | { readonly do: "answer"; readonly id: number; readonly answer: EncodedAnswer }
  | { readonly do: "close"; readonly call: number };

/** One call of the host's. */
type HostCall = {
  [Name in keyof ClusterHost]: {
    readonly say: "host";
    readonly name: Name;
    readonly args: Parameters<ClusterHost[Name]>;
  };
}[keyof ClusterHost];

/** To the host. */
export type NodeNews =
  /** Before whatever the host is called for. */
  | { readonly say: "view"; readonly view: NodeView }
  | { readonly say: "addresses"; readonly addresses: Addresses }
  | HostCall
  | { readonly say: "lost"; readonly node: NodeId }
  | {
      readonly say: "asked";
      readonly id: number;
      readonly route: number;
      readonly request: Omit<RouteRequest, "signal">;
    }
  /** Whoever has asked is gone. */
  | { readonly say: "gone"; readonly id: number };
