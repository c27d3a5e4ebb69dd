/** Where a node meets the others: whom it asks, where it listens, and who begins. */
import { ForgeError } from "../../../engine/error.ts";
import type { Given } from "./given.ts";
import type { Launch, Setting } from "./launch.ts";
import { ADDRESS, CONTACTS, METRICS_PLACE, PLACE, type Place, YES_NO } from "./rule.ts";

/** See the file's head. */
export interface Meeting {
  /** Other nodes, to be asked in this order: ws://host:port or wss://host:port. */
  readonly contacts: Setting<readonly string[]>;
  /** Servers of NATS, through which nodes find each other where there are no contacts: nats://host:port or tls://host:port. */
  readonly servers: Setting<readonly string[]>;
  /**
   * Whether this node may begin a cluster: `at-once`, as there is nobody to ask; `if-nobody-answers`, as it is the one whom
   * the others look for; `as-agreed`, by one of those who meet through NATS; `never`.
   */
  readonly founding: Setting<"at-once" | "if-nobody-answers" | "as-agreed" | "never">;
  /** An address, or a name of this machine; port 0 is any that is free. */
  readonly listen: Setting<Place>;
  /** Whether it may be all interfaces at once. */
  readonly exposeAll: Setting<boolean>;
  /** Where others dial this node, as ws:// or wss://, if that is not where it listens. */
  readonly advertise: Setting<string | undefined>;
  /** Where Prometheus reads metrics, if anywhere; in the clear, and for whoever can reach it. */
  readonly metrics: Setting<Place | undefined>;
}

/** What the meeting depends on besides. */
export interface MeetingOptions {
  readonly role: "trainer" | "rollout";
  /** Contacts at most: those who can be members. */
  readonly most: number;
  /** Whether there are files for TLS, and a certificate among them. */
  readonly tls: { readonly isMeant: boolean; readonly isCertified: boolean };
  /** Addresses by the names of interfaces. */
  readonly interfaces: Readonly<Record<string, readonly string[]>>;
}

/** What is known by the time when it is decided where to listen. */
interface Situation extends MeetingOptions {
  readonly launch: Launch;
  readonly contacts: Setting<readonly string[]>;
  readonly servers: Setting<readonly string[]>;
  /** Whether it is a trainer, and the first of its launcher's nodes. */
  readonly isFirst: boolean;
}

/** Contacts that are asked at most: one that lives is enough. */
const MOST_CONTACTS = 16;

/** Errors    `config_invalid`. */
export function meetingOf(given: Given, launch: Launch, options: MeetingOptions): Meeting {
  const { contacts, servers } = placesOf(given, launch, options);
  checkTls(options, servers.value);
  const isFirst = options.role === "trainer" && launch.rank?.value === 0;
  const situation = { ...options, launch, contacts, servers, isFirst };
  const exposeAll = given.read("exposeAll", YES_NO, false);
  const listen = listenOf(given, situation, exposeAll.value);
  const advertise = advertiseOf(given, situation, listen.value);
  const own = [addressText(listen.value), advertise.value && addressOf(advertise.value)];
  const isOwn = (url: string): boolean => own.includes(addressOf(url));
  const [first] = contacts.value;
  // a launcher's first contact is its first node, by whatever name
  const isNamed = contacts.source === launch.contacts?.source && isFirst;
  const isContact = first !== undefined && (isNamed || isOwn(first));
  const others = contacts.value.filter((url) => !isOwn(url) && !(isNamed && url === first));
  return {
    contacts: { ...contacts, value: others },
    servers,
    founding: foundingOf(situation, isContact),
    ...{ listen, exposeAll, advertise },
    metrics: metricsOf(given, situation, exposeAll.value),
  };
}

function metricsOf(
  given: Given,
  { interfaces }: Situation,
  isOpen: boolean,
): Setting<Place | undefined> {
  const { value, source } = given.read("metrics", METRICS_PLACE, undefined);
  const host = value && hostOf({ value, source }, interfaces, isOpen);
  return { value: value && host !== undefined ? { ...value, host } : undefined, source };
}

/** An interface by its address. Errors: `config_invalid` for all at once, unless they are meant. */
function hostOf(
  { value: { host: name }, source }: Setting<Place>,
  interfaces: Situation["interfaces"],
  isOpen: boolean,
): string {
  const host = interfaces[name]?.[0] ?? name;
  if (!isWildcard(host) || isOpen) return host;
  throw refusal(`${source} is all interfaces at once.`, {
    got: name,
    why: "whoever can reach the machine could then knock",
    fix: "give one interface, as in eth0:29400, or --expose-all if all are meant",
  });
}

/** Whom to ask, or where it is written who can be asked. */
function placesOf(
  given: Given,
  launch: Launch,
  options: MeetingOptions,
): Pick<Meeting, "contacts" | "servers"> {
  const { value, source } = contactsOf(given, launch, options);
  const servers = value.filter((url) => /^(nats|tls):/.test(url));
  if (servers.length === 0) return { contacts: { value, source }, servers: { value: [], source } };
  if (servers.length === value.length)
    return { contacts: { value: [], source }, servers: { value, source } };
  throw refusal(`${source} names nodes and servers of NATS.`, {
    got: value.join(","),
    why: "nodes that look in two places may begin two clusters",
    fix: "give either ws://host:port of nodes, or nats://host:port of servers, and the same to all nodes",
  });
}

function contactsOf(
  given: Given,
  launch: Launch,
  { role, most, tls }: MeetingOptions,
): Setting<readonly string[]> {
  const scheme = tls.isMeant ? "wss" : "ws";
  const asked = launch.contacts?.value.slice(0, Math.min(most, MOST_CONTACTS));
  const urls = asked?.map((address) => `${scheme}://${address}`).join(",");
  const hint = launch.contacts && { value: urls ?? "", source: launch.contacts.source };
  const contacts = given.read("rdzv", CONTACTS, [], hint);
  for (const url of contacts.value) {
    if (/^(nats|tls):/.test(url)) continue;
    const isSecure = url.startsWith("wss:");
    if (isSecure && role === "trainer" && !tls.isCertified) {
      throw refusal(`${contacts.source} is wss://, and this node has no certificate.`, {
        got: url,
        why: "the others dial it too, and would have to do so in the clear",
        fix: "give --tls-cert and --tls-key, and --tls-ca if the certificates are your own",
      });
    }
    if (!isSecure && tls.isMeant) {
      throw refusal(`${contacts.source} is ws://, and there are files for TLS.`, {
        got: url,
        why: "they would be of no use: ws:// is not encrypted",
        fix: "write wss://, or leave out --tls-cert, --tls-key and --tls-ca",
      });
    }
  }
  return contacts;
}

/** A trainer is dialled too. Errors: `config_invalid` where it would be in the clear, against what its files say. */
function checkTls({ role, tls }: MeetingOptions, servers: readonly string[]): void {
  const isOfServers = servers.some((url) => url.startsWith("tls:"));
  if (role !== "trainer" || !tls.isMeant || tls.isCertified || isOfServers) return;
  throw refusal("there is a file for TLS, and this node has no certificate.", {
    got: "--tls-ca without --tls-cert",
    why: "the others dial a trainer, and would have to do so in the clear",
    fix: "give --tls-cert and --tls-key too, or leave out --tls-ca",
  });
}

function listenOf(given: Given, situation: Situation, isOpen: boolean): Setting<Place> {
  const { source, value } = given.read("listen", PLACE, { host: "127.0.0.1", port: 0 });
  const host = hostOf({ value, source }, situation.interfaces, isOpen);
  return { value: { host, port: value.port || fixedPort(situation) }, source };
}

/** Where contacts say that this node is; 0 if they say nothing of it. */
function fixedPort({ role, launch, contacts, isFirst }: Situation): number {
  if (role === "rollout") return 0;
  const [first] = contacts.value;
  if (isFirst && first !== undefined) return Number(/\d+$/.exec(first)?.[0]);
  return (contacts.source === launch.contacts?.source ? launch.port?.value : undefined) ?? 0;
}

function advertiseOf(
  given: Given,
  { role, tls, launch, contacts, servers }: Situation,
  { host, port }: Place,
): Setting<string | undefined> {
  const scheme = tls.isCertified ? "wss" : "ws";
  const { value, source } = given.read("advertise", ADDRESS, undefined);
  if (value !== undefined) return { value: `${scheme}://${value}`, source };
  if (role === "rollout") return { value, source };
  if (isWildcard(host)) {
    if (launch.host && port > 0) {
      const address = addressText({ host: launch.host.value, port });
      return { value: `${scheme}://${address}`, source: launch.host.source };
    }
    throw refusal("this node listens on all interfaces, and has no address.", {
      got: addressText({ host, port }),
      why: "the others have to know where to dial it",
      fix: "give --advertise host:port",
    });
  }
  const far = [...contacts.value, ...servers.value].find((url) => !isLoopback(url));
  if (far !== undefined && isLoopback(`ws://${addressText({ host, port })}`)) {
    throw refusal("the others cannot reach this node.", {
      got: `it listens on ${host}, and is to meet them at ${far}`,
      why: "each node of a ring is dialled by the next one",
      fix: "give --listen with the interface of that network, as in eth0, or --advertise host:port of a tunnel",
    });
  }
  return { value, source };
}

function foundingOf(
  { role, contacts, servers, launch, isFirst }: Situation,
  isContact: boolean,
): Meeting["founding"] {
  if (servers.value.length > 0) {
    if (role === "rollout") return { value: "never", source: "role" };
    return { value: "as-agreed", source: servers.source };
  }
  const isAlone = contacts.value.length === 0;
  const rank = launch.rank ?? { value: 0, source: "default" };
  if (isAlone && (role === "rollout" || rank.value > 0)) {
    throw refusal("this node knows no other.", {
      got: role === "rollout" ? "a rollout node without --rdzv" : `${rank.source}=${rank.value}`,
      why: "rollout nodes, and all nodes of a launcher but its first, join a cluster that is there",
      fix: "give ws://host:port of the first node: --rdzv or FORGE_RDZV",
    });
  }
  if (role === "rollout") return { value: "never", source: "role" };
  if (isAlone) return { value: "at-once", source: "default" };
  if (isFirst) return { value: "if-nobody-answers", source: rank.source };
  return { value: isContact ? "if-nobody-answers" : "never", source: contacts.source };
}

/** Whether a URL is of this machine alone. */
export function isLoopback(url: string): boolean {
  return /^(wss?|nats|tls):\/\/(127\.\d|localhost:|\[::1\])/.test(url);
}

function isWildcard(host: string): boolean {
  return /^[0:.]+$/.test(host);
}

/** As URLs have it. */
function addressText({ host, port }: Place): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

function addressOf(url: string): string {
  return url.replace(/^wss?:\/\//, "");
}

function refusal(
  what: string,
  parts: { readonly got: string; readonly why: string; readonly fix: string },
): ForgeError {
  return new ForgeError({ code: "config_invalid", what, ...parts });
}
