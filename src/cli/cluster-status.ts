/** What `forge-gpu cluster status` does. */
import { randomBytes } from "node:crypto";
import {
  askStatus,
  ClusterError,
  type ClusterStatus,
  NodeClient,
  type NodeClientOptions,
  Token,
} from "../../cluster/index.ts";
import { tableText } from "../terminal/table.ts";
import { bytesText, numberText } from "../terminal/units.ts";
import { printJson } from "./json.ts";
import { readRunId } from "./node-settings.ts";

/** Options of the command. */
export interface StatusFlags {
  readonly rdzv: string;
  readonly runId: string;
  readonly tokenFile: string;
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly json?: boolean;
}

/** A member, and what it says; or why it says nothing. */
interface MemberReport {
  readonly node: string;
  readonly address: string | null;
  readonly status: ClusterStatus | null;
  readonly error: string | null;
  /** Milliseconds that it took to answer. */
  readonly ms: number;
}

/** Asks one node, and then all that it knows. */
export async function runStatus(flags: StatusFlags): Promise<void> {
  using client = new NodeClient(await clientOptions(flags));
  const first = await askStatus(client, flags.rdzv);
  const members = await Promise.all(
    first.members.map((node) => reportOf(client, node, first.addresses[node] ?? null)),
  );
  const newest = members
    .flatMap(({ status }) => status ?? [])
    .reduce((best, status) => (status.step > best.step ? status : best), first);
  const { epoch, step, hash, leader } = newest;
  if (flags.json) printJson({ epoch, step, hash, leader, members });
  else process.stdout.write(`${statusText(newest, members)}\n`);
}

async function clientOptions(flags: StatusFlags): Promise<NodeClientOptions> {
  const { tlsCa: ca, tlsCert: cert, tlsKey: key } = flags;
  const token = await Token.read(flags.tokenFile);
  const tls = { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
  return {
    runId: readRunId(flags.runId),
    nodeId: `status-${randomBytes(4).toString("hex")}`,
    ...{ token, role: token.scope === "rollout" ? "rollout" : "trainer", tls },
  };
}

async function reportOf(
  client: NodeClient,
  node: string,
  address: string | null,
): Promise<MemberReport> {
  const started = performance.now();
  const took = (): number => performance.now() - started;
  if (address === null) return { node, address, status: null, error: "nobody knows where", ms: 0 };
  try {
    const status = await askStatus(client, address);
    return { node, address, status, error: null, ms: took() };
  } catch (error) {
    if (!(error instanceof ClusterError)) throw error;
    return { node, address, status: null, error: error.code, ms: took() };
  }
}

function statusText(
  { epoch, step, hash, leader }: ClusterStatus,
  members: readonly MemberReport[],
): string {
  const rows = members.map(({ node, address, status, error, ms }) => [
    node,
    node === leader ? "leads" : "member",
    status ? `${status.ownStep}` : (error ?? ""),
    status ? (status.hash === hash ? "same" : status.step < step ? "behind" : "OTHER") : "",
    status ? rate(status) : "",
    `${ms.toFixed(0)} ms`,
    address ?? "",
  ]);
  const head = ["node", "part", "step", "state", "ring", "answers in", "address"];
  const title = `epoch ${epoch}, step ${step} committed, state ${hash.slice(0, 16)}`;
  return `${title}\n\n${tableText([head, ...rows], [0, 1, 3, 6])}`;
}

/** Of what it has sent in collectives, waiting for others included. */
function rate({ sentBytes, collectiveSeconds }: ClusterStatus): string {
  if (collectiveSeconds === 0) return "";
  return `${bytesText(sentBytes)} in ${numberText(collectiveSeconds)} s`;
}
