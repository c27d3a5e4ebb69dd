/**
 * How a node is started: flags first, then `FORGE_…` variables, then what torchrun, Slurm or Kubernetes say.
 *
 * Nothing is looked at but the arguments.
 */
import { createHash } from "node:crypto";
import { ForgeError } from "../../engine/error.ts";
import { flagOf, Given, variableOf } from "./launch/given.ts";
import type { Environment, Launch, Setting } from "./launch/launch.ts";
import { launchOf } from "./launch/launchers.ts";
import { isLoopback, type Meeting, type MeetingOptions, meetingOf } from "./launch/meeting.ts";
import { duration, oneOf, type Rule, TEXT, WORLD, type World, wholeNumber } from "./launch/rule.ts";
import { type WayFlags, type WaySettings, waySettings } from "./launch/way.ts";

/** Trainers share gradients and weights; rollout nodes only play. */
export type NodeRole = "trainer" | "rollout";
/** What gradients are as they travel. */
export type Wire = "f32" | "bf16" | "int8";

/** The settings of a node. Times are milliseconds. */
export interface NodeSettings extends Meeting, WaySettings {
  readonly role: Setting<NodeRole>;
  readonly world: Setting<World>;
  /** 16 bytes in hex, as the wire has it; of a name, the first of its SHA-256. */
  readonly runId: Setting<string>;
  readonly nodeId: Setting<string>;
  /** The launcher's number of this node: a hint, as ranks are the cluster's own. */
  readonly rank: Setting<number | undefined>;
  /** How often the launcher has started the node again. */
  readonly restarts: Setting<number>;
  readonly tokenFile: Setting<string>;
  /** File of what the servers of NATS know this node by. */
  readonly natsCreds: Setting<string | undefined>;
  readonly tlsCert: Setting<string | undefined>;
  readonly tlsKey: Setting<string | undefined>;
  readonly tlsCa: Setting<string | undefined>;
  /** Threads that rings go round in; 0 for the main one. */
  readonly ringThreads: Setting<number>;
  /** Of the first ring; those of others follow it. 0 for any. */
  readonly ringPort: Setting<number>;
  readonly wire: Setting<Wire>;
  readonly heartbeat: Setting<number>;
  /** How long to look for the cluster before giving up. */
  readonly joinTimeout: Setting<number>;
  readonly stateDir: Setting<string | undefined>;
  /** What a node that begins a cluster goes on with: a run's directory, one of its checkpoints, or {@link OWN_RUN}. */
  readonly resume: Setting<string | undefined>;
  /** What is allowed and seldom meant: a sentence each. */
  readonly warnings: readonly string[];
}

/** The flags of `forge-gpu node` that are settings, by commander's names. */
export interface NodeSettingFlags extends WayFlags {
  readonly role?: string;
  readonly world?: string;
  readonly rdzv?: string;
  readonly runId?: string;
  readonly nodeId?: string;
  readonly advertise?: string;
  readonly listen?: string;
  readonly exposeAll?: boolean;
  readonly tokenFile?: string;
  /** Never taken: see {@link nodeSettings}. */
  readonly token?: string;
  readonly natsCreds?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsCa?: string;
  readonly ringThreads?: string;
  readonly ringPort?: string;
  readonly wire?: string;
  readonly heartbeat?: string;
  readonly joinTimeout?: string;
  readonly stateDir?: string;
  readonly metrics?: string;
  /** `true` for {@link OWN_RUN}. */
  readonly resume?: string | true;
}

/** What the node has of the run of its id, if anything. */
export const OWN_RUN = "run-id";

/** What else the settings depend on. */
export interface NodeSettingsOptions {
  /** This machine's name. */
  readonly hostname: string;
  /** Addresses of this machine's interfaces, by the interfaces' names; those of IPv4 first. */
  readonly interfaces: Readonly<Record<string, readonly string[]>>;
  /** 16 random bytes in hex: the id of a new run, and what sets nodes of one machine apart. */
  readonly nonce: string;
}

/** Every name that has a flag and a variable. */
export const SETTING_NAMES: readonly string[] = [
  ...["role", "world", "rdzv", "runId", "nodeId", "advertise", "listen", "exposeAll", "tokenFile"],
  ...["tlsCert", "tlsKey", "tlsCa", "ringThreads", "ringPort", "wire", "sync"],
  ...["heartbeat", "joinTimeout"],
  ...["stateDir", "resume", "metrics", "natsCreds", "outerLr", "outerMomentum"],
];

const NODE_ID: Rule<string> = {
  allowed: "1 to 64 letters, digits, dots, dashes and underscores",
  parse: (text) => (/^[A-Za-z0-9._-]{1,64}$/.test(text) ? text : undefined),
};

const RUN_ID: Rule<string> = {
  allowed: "32 digits of lower-case hex, or a name of up to 200 characters",
  parse: (text) => {
    if (/^[0-9a-f]{32}$/.test(text)) return text;
    return text.length > 0 && text.length <= 200 ? runIdOf(`named ${text}`) : undefined;
  },
};

/** A run's id as the wire has it, of one or of a name. Errors: `config_invalid`. */
export function readRunId(text: string): string {
  const id = RUN_ID.parse(text);
  if (id !== undefined) return id;
  throw new ForgeError({
    code: "config_invalid",
    what: "this is no run's id.",
    got: JSON.stringify(text.slice(0, 80)),
    fix: `give ${RUN_ID.allowed}`,
  });
}

/**
 * Understands flags and variables. A token is in a file, and never a value: what looks like one is refused, and not shown.
 *
 * Errors    `config_invalid`, which names the flag or the variable, what was got, and what is allowed.
 */
export function nodeSettings(
  flags: NodeSettingFlags,
  env: Environment,
  options: NodeSettingsOptions,
): NodeSettings {
  refuseTokens(flags, env);
  const resume = flags.resume === true ? OWN_RUN : flags.resume;
  const given = new Given({ ...flags, resume }, env);
  const launch = launchOf(env, options.hostname);
  const role = given.read("role", oneOf(["trainer", "rollout"] as const), "trainer");
  const world = given.read("world", WORLD, { min: 1, max: 1024 }, launch.world);
  const files = {
    tlsCert: given.read("tlsCert", TEXT, undefined),
    tlsKey: given.read("tlsKey", TEXT, undefined),
    tlsCa: given.read("tlsCa", TEXT, undefined),
  };
  const meeting = meetingOf(given, launch, {
    ...{ role: role.value, most: world.value.max, tls: tlsOf(files) },
    interfaces: options.interfaces,
  });
  const ofTrainers = { resume: given.read("resume", TEXT, undefined), metrics: meeting.metrics };
  return {
    ...{ role, world },
    ...meeting,
    ...ofTrainers,
    runId: runId(given, launch, { meeting, nonce: options.nonce }),
    nodeId: nodeId(given, launch, { role: role.value, ...options }),
    rank: launch.rank ?? { value: undefined, source: "default" },
    restarts: launch.restarts ?? { value: 0, source: "default" },
    tokenFile: tokenFile(given),
    natsCreds: given.read("natsCreds", TEXT, undefined),
    ...files,
    ringThreads: given.read("ringThreads", wholeNumber(0, 16), 1),
    ringPort: given.read("ringPort", wholeNumber(0, 65_520), 0),
    wire: given.read("wire", oneOf(["f32", "bf16", "int8"] as const), "f32"),
    ...waySettings(given),
    heartbeat: given.read("heartbeat", duration(50, 60_000), 500),
    joinTimeout: given.read("joinTimeout", duration(1000, 3_600_000), 60_000),
    stateDir: given.read("stateDir", TEXT, undefined),
    warnings: [
      ...(role.value === "rollout" ? idle(Object.values(ofTrainers)) : []),
      ...warnings(given, meeting),
    ],
  };
}

function refuseTokens(flags: NodeSettingFlags, env: Environment): void {
  const source =
    flags.token !== undefined ? "--token" : env["FORGE_TOKEN"] ? "FORGE_TOKEN" : undefined;
  if (source === undefined) return;
  throw new ForgeError({
    code: "config_invalid",
    what: `${source} is no place for a token.`,
    got: "a text, which is not shown",
    why: "command lines can be read by every user of the machine, and variables by every child of the process",
    fix: "write it to a file for its owner alone, and name the file by --token-file or FORGE_TOKEN_FILE",
  });
}

function tokenFile(given: Given): Setting<string> {
  const { value, source } = given.read("tokenFile", TEXT, undefined);
  if (value !== undefined) return { value, source };
  throw missing("tokenFile", {
    why: "nodes know each other by the token of their run",
    fix: "make one with `(umask 077; openssl rand -hex 32 > token)`, and give it to all nodes: --token-file token",
  });
}

function runId(
  given: Given,
  { run }: Launch,
  { meeting, nonce }: { readonly meeting: Meeting; readonly nonce: string },
): Setting<string> {
  const fromLauncher = run && { value: runIdOf(run.value), source: run.source };
  const { value, source } = given.read("runId", RUN_ID, undefined, fromLauncher);
  if (value !== undefined) return { value, source };
  if (meeting.founding.value === "at-once") return { value: nonce, source: "default" };
  throw missing("runId", {
    why: "the cluster at the other end may be another run's",
    fix: "give the id that the first node printed, or one name to all nodes",
  });
}

/** The nodes that one launcher has started are in its order, and nodes of two groups have two ids. */
function nodeId(
  given: Given,
  { rank, group }: Launch,
  { role, hostname, nonce }: NodeSettingsOptions & { readonly role: NodeRole },
): Setting<string> {
  const host = hostname.replace(/[^A-Za-z0-9._-]/g, "-").slice(0, 50);
  const own = { value: `${host || "node"}-${nonce.slice(0, 8)}`, source: "default" };
  const suffix = group ? `-${runIdOf(group.value).slice(0, 8)}` : "";
  const numbered = rank && {
    value: `${role}-${String(rank.value).padStart(5, "0")}${suffix}`,
    source: rank.source,
  };
  return given.read("nodeId", NODE_ID, own.value, numbered);
}

/** A key and its certificate come together. */
function tlsOf({
  tlsCert,
  tlsKey,
  tlsCa,
}: Pick<NodeSettings, "tlsCert" | "tlsKey" | "tlsCa">): MeetingOptions["tls"] {
  if ((tlsCert.value === undefined) !== (tlsKey.value === undefined)) {
    throw missing(tlsCert.value === undefined ? "tlsCert" : "tlsKey", {
      why: "a certificate is of use with its key only, and a key with its certificate",
      fix: "give both, in PEM",
    });
  }
  const isCertified = tlsCert.value !== undefined;
  return { isMeant: isCertified || tlsCa.value !== undefined, isCertified };
}

/** What a rollout node was given, and trainers alone have a use for. */
function* idle(settings: readonly Setting<unknown>[]): Generator<string> {
  for (const { value, source } of settings)
    if (value !== undefined) yield `${source} means nothing to a rollout node`;
}

function* warnings(given: Given, { contacts, servers }: Meeting): Generator<string> {
  const names = [...SETTING_NAMES, "token"];
  for (const { got, meant } of given.slips(names)) {
    yield `${got} means nothing; did you mean ${meant}?`;
  }
  const clear = contacts.value.find((url) => url.startsWith("ws://") && !isLoopback(url));
  if (clear !== undefined) {
    yield `${clear} is not encrypted: whoever sees the network between reads the token; use wss:// unless it is private`;
  }
  const open = servers.value.find((url) => url.startsWith("nats://") && !isLoopback(url));
  if (open !== undefined) {
    yield `${open} need not be encrypted: whoever sees the network between may read the credentials; use tls:// unless it is private`;
  }
}

/** The first 16 bytes of a name's SHA-256, in hex. */
function runIdOf(name: string): string {
  return createHash("sha256").update(`forge-gpu run ${name}`).digest("hex").slice(0, 32);
}

function missing(
  name: string,
  { why, fix }: { readonly why: string; readonly fix: string },
): ForgeError {
  return new ForgeError({
    code: "config_invalid",
    what: `neither ${flagOf(name)} nor ${variableOf(name)} is set.`,
    why,
    fix,
  });
}
