/** Nodes that find each other through a key-value bucket of NATS, and agree through it on who begins. */
import { randomUUID } from "node:crypto";
import type { KV, KvEntry } from "@nats-io/kv";
import { z } from "zod";
import type { ForgeError } from "../../../../engine/error.ts";
import type { Contact, Rendezvous } from "../rendezvous.ts";
import { NatsLink, type NatsOptions, refusalOf } from "./connection.ts";

/** Options of {@link NatsRendezvous.open}. */
export interface NatsRendezvousOptions {
  /** As the wire has it; each run has a bucket of its own. */
  readonly runId: string;
  readonly node: string;
  /** Milliseconds after which a founder, or a node, that has not been heard of is gone. Default 10,000. */
  readonly leaseMs?: number;
  /** Copies of the bucket, where the server is one of several. Default 1. */
  readonly replicas?: number;
  /** Told when a renewal fails, which is tried again; and once when another cluster of the run has been begun. */
  readonly onTrouble?: (error: ForgeError | "superseded") => void;
}

/** Renewals within a lease. */
const BEATS = 4;
/** Milliseconds until the server forgets a run: long after it is over. */
const FORGET = 7 * 24 * 3_600_000;
/** Bytes of an entry at most. */
const LONGEST = 4096;
/** Contacts that are given out at most: one that lives is enough. */
const MOST_CONTACTS = 16;
const FOUNDER = "founder";
/** The server's number for a revision that is not the last. */
const WRONG_REVISION = 10071;

const contact = z.strictObject({ node: z.string().min(1).max(200), address: z.url().max(400) });
/** Which cluster it is, by a word that who began it has made up. */
const lease = z.strictObject({ cluster: z.uuid(), node: z.string().max(200) });
type Lease = z.infer<typeof lease>;

/** A revision of the lease, and since when no other has been seen. */
interface Seen {
  readonly revision: number;
  readonly since: number;
}

/**
 * The lease of who begins is a key that is written by compare-and-set, and renewed by who founded and by all who have joined since.
 * It is taken from them when the same revision has been read for the length of the lease, on the reader's own clock: neither
 * clocks of machines nor a server that was away for an hour take it from those who live.
 */
export class NatsRendezvous implements Rendezvous {
  readonly #link: NatsLink;
  readonly #bucket: KV;
  readonly #options: NatsRendezvousOptions;
  readonly #leaseMs: number;
  #own: Contact | undefined;
  #seen: Seen | undefined;
  /** The cluster that this node vouches for; undefined until it is known which one that is. */
  #cluster: string | undefined;
  #vouches = false;
  #timer: NodeJS.Timeout | undefined;
  #beating: Promise<void> = Promise.resolve();
  #isSuperseded = false;
  #ownsLink = false;

  private constructor(link: NatsLink, bucket: KV, options: NatsRendezvousOptions) {
    this.#link = link;
    this.#bucket = bucket;
    this.#options = options;
    this.#leaseMs = options.leaseMs ?? 10_000;
  }

  /** As {@link open}, over a connection of its own, which it closes. Errors: those of `NatsLink.open` too. */
  static async connect(
    server: Omit<NatsOptions, "name">,
    options: NatsRendezvousOptions,
  ): Promise<NatsRendezvous> {
    const link = await NatsLink.open({ ...server, name: `forge-gpu ${options.node}` });
    try {
      const rendezvous = await NatsRendezvous.open(link, options);
      rendezvous.#ownsLink = true;
      return rendezvous;
    } catch (error) {
      await link[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Opens the run's bucket, or makes it. Errors: those of `NatsLink.ask`. */
  static async open(link: NatsLink, options: NatsRendezvousOptions): Promise<NatsRendezvous> {
    const manager = new link.sdk.kv.Kvm(link.jetstream);
    const { runId, replicas = 1 } = options;
    const bucket = await link.ask(() =>
      manager.create(nameOf(runId), {
        history: 1,
        ttl: FORGET,
        maxValueSize: LONGEST,
        replicas,
      }),
    );
    return new NatsRendezvous(link, bucket, options);
  }

  /** See {@link Rendezvous.announce}. */
  async announce(own: Contact): Promise<void> {
    this.#own = own;
    await this.#link.ask(() => this.#putOwn(own));
    this.#timer ??= setInterval(() => {
      this.#beating = this.#beating.then(() => this.#beat());
    }, this.#leaseMs / BEATS).unref();
  }

  /**
   * See {@link Rendezvous.contacts}. Those who have written nothing for a lease before the last one wrote are gone: by the server's
   * clock, which has written the time of both.
   */
  async contacts(): Promise<readonly Contact[]> {
    const entries = await this.#link.ask(() => this.#entries());
    const last = Math.max(...entries.map(({ created }) => created.getTime()));
    return entries
      .filter(({ created }) => created.getTime() >= last - this.#leaseMs)
      .toSorted((a, b) => b.revision - a.revision)
      .map((entry) => read(contact, entry))
      .filter((found) => found !== undefined && found.node !== this.#options.node)
      .slice(0, MOST_CONTACTS) as Contact[];
  }

  /** See {@link Rendezvous.mayFound}. */
  async mayFound(): Promise<boolean> {
    if (this.#vouches) return true;
    const entry = await this.#link.ask(() => this.#bucket.get(FOUNDER));
    if (!this.#isFree(entry)) return false;
    const cluster = randomUUID();
    if (!(await this.#link.ask(() => this.#take(entry, cluster)))) return false;
    this.#cluster = cluster;
    this.#vouches = true;
    return true;
  }

  /** See {@link Rendezvous.vouch}. */
  vouch(): void {
    this.#vouches = true;
  }

  /** Its entry goes; the lease stays for who else vouches, or until it runs out. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.#beating;
    const own = this.#own;
    // whoever is not reached finds that it is gone by its silence
    if (own) await this.#link.ask(() => this.#bucket.purge(keyOf(own.node))).catch(() => {});
    if (this.#ownsLink) await this.#link[Symbol.asyncDispose]();
  }

  async #beat(): Promise<void> {
    try {
      const own = this.#own;
      if (own) await this.#link.ask(() => this.#putOwn(own));
      if (this.#vouches) await this.#link.ask(() => this.#renew());
    } catch (error) {
      this.#options.onTrouble?.(error as ForgeError);
    }
  }

  /** Whether nobody has the lease, or who had it has been silent for its length. */
  #isFree(entry: KvEntry | null): boolean {
    if (!isThere(entry)) return true;
    const now = performance.now();
    if (this.#seen?.revision !== entry.revision) {
      this.#seen = { revision: entry.revision, since: now };
      return false;
    }
    return now - this.#seen.since >= this.#leaseMs;
  }

  async #renew(): Promise<void> {
    const entry = await this.#bucket.get(FOUNDER);
    const current = isThere(entry) ? read(lease, entry) : undefined;
    // who has joined goes on with the name that it found
    const cluster = this.#cluster ?? current?.cluster ?? randomUUID();
    if (current && current.cluster !== cluster) {
      if (!this.#isSuperseded) this.#options.onTrouble?.("superseded");
      this.#isSuperseded = true;
    } else if (await this.#take(entry, cluster)) {
      this.#cluster = cluster;
    }
  }

  /** Writes the lease if the entry is the last one still. */
  async #take(entry: KvEntry | null, cluster: string): Promise<boolean> {
    const value = JSON.stringify({ cluster, node: this.#options.node } satisfies Lease);
    try {
      if (entry) await this.#bucket.update(FOUNDER, value, entry.revision);
      else await this.#bucket.create(FOUNDER, value);
      return true;
    } catch (error) {
      if (refusalOf(error) === WRONG_REVISION) return false;
      throw error;
    }
  }

  async #putOwn(own: Contact): Promise<void> {
    await this.#bucket.put(keyOf(own.node), JSON.stringify(own));
  }

  async #entries(): Promise<readonly KvEntry[]> {
    // a watch that begins while others write may never learn that it has seen all
    const name = nameOf(this.#options.runId);
    const prefix = `$KV.${name}.`;
    const { state } = await this.#link.manager.streams.info(`KV_${name}`, {
      subjects_filter: `${prefix}node.>`,
    });
    const keys = Object.keys(state.subjects ?? {}).map((subject) => subject.slice(prefix.length));
    const entries = await Promise.all(keys.map((key) => this.#bucket.get(key)));
    return entries.filter(isThere);
  }
}

function nameOf(runId: string): string {
  return `forge-${runId}`;
}

function isThere(entry: KvEntry | null): entry is KvEntry {
  return entry?.operation === "PUT";
}

/** Of an entry that something else has written, nothing. */
function read<T>(schema: z.ZodType<T>, entry: KvEntry): T | undefined {
  try {
    return schema.parse(entry.json());
  } catch {
    return undefined;
  }
}

/** Keys have fewer letters than names. */
function keyOf(node: string): string {
  return `node.${Buffer.from(node).toString("base64url")}`;
}
