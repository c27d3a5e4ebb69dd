/** What the text of a setting may be. */
import { isIPv6 } from "node:net";

/** Turns text into a value. */
export interface Rule<T> {
  /** What is allowed: "a whole number from 1 to 64". */
  readonly allowed: string;
  /** Words among which a slip is looked for. */
  readonly words?: readonly string[];
  /** Undefined for text that is not allowed. */
  readonly parse: (text: string) => T | undefined;
}

/** Members of a cluster, at least and at most. */
export interface World {
  readonly min: number;
  readonly max: number;
}

/** Where to listen: an interface, an address or a name of this machine, and a port, 0 for any. */
export interface Place {
  readonly host: string;
  readonly port: number;
}

/**
 * How steps are made one: `zero1` shares gradients and gathers weights, `ddp` shares gradients, `diloco` shares what the
 * weights have moved in so many steps.
 */
export type Sync =
  | { readonly kind: "zero1" | "ddp" }
  | { readonly kind: "diloco"; readonly steps: number };

/** Members that a cluster can have. */
const LARGEST_WORLD = 1024;

/** Any text but none. */
export const TEXT: Rule<string> = { allowed: "a text", parse: (text) => text || undefined };

/** One of these words. */
export function oneOf<W extends string>(words: readonly W[]): Rule<W> {
  return {
    allowed: words.join(", "),
    words,
    parse: (text) => words.find((word) => word === text),
  };
}

/** Yes or no. */
export const YES_NO: Rule<boolean> = {
  allowed: "true or false",
  words: ["true", "false"],
  parse: (text) => ({ true: true, "1": true, false: false, "0": false })[text],
};

/** A whole number of a range. */
export function wholeNumber(least: number, most: number): Rule<number> {
  return {
    allowed: `a whole number from ${least} to ${most}`,
    parse: (text) => {
      const value = /^\d{1,9}$/.test(text) ? Number(text) : -1;
      return value >= least && value <= most ? value : undefined;
    },
  };
}

/** `2:4`, or `4` for exactly that. */
export const WORLD: Rule<World> = {
  allowed: `min:max or one number, from 1 to ${LARGEST_WORLD}, as in 2:4`,
  parse: (text) => {
    const [, low, high = low] = /^(\d{1,4})(?::(\d{1,4}))?$/.exec(text) ?? [];
    const [min, max] = [Number(low), Number(high)];
    return min >= 1 && min <= max && max <= LARGEST_WORLD ? { min, max } : undefined;
  },
};

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000 };

/** A time in milliseconds, of a range in milliseconds: `500ms`, `1.5s`, `2m`. */
export function duration(least: number, most: number): Rule<number> {
  return {
    allowed: `a time from ${shownTime(least)} to ${shownTime(most)} with its unit, as in 500ms, 60s or 2m`,
    parse: (text) => {
      const [, amount, unit = ""] = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m)$/.exec(text) ?? [];
      const value = Number(amount) * (UNITS[unit] ?? Number.NaN);
      return value >= least && value <= most ? value : undefined;
    },
  };
}

/** Milliseconds as people write them. */
export function shownTime(ms: number): string {
  return ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`;
}

/** A port that can be dialled. */
function port(text: string | undefined): number | undefined {
  const value = Number(text);
  return value >= 1 && value < 2 ** 16 ? value : undefined;
}

/** A host as URLs have it, and a port. */
const HOST_AND_PORT = /^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})$/;

/** `host:port` of who can be dialled. */
export const ADDRESS: Rule<string> = {
  allowed: "host:port, as in 10.0.0.7:29400 or [fd00::7]:29400",
  parse: (text) => (port(HOST_AND_PORT.exec(text)?.[2]) ? text : undefined),
};

/** `interface`, `interface:port`, `address:port`; port 0, or none, is any. */
export const PLACE: Rule<Place> = {
  allowed: "an interface, an address or a name of this machine, and a port, as in eth0:29400",
  parse: (text) => {
    // an address of IPv6 by itself, as variables have it
    if (isIPv6(text)) return { host: text, port: 0 };
    const [, host = "", digits = "0"] =
      /^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(\d{1,5}))?$/.exec(text) ?? [];
    if (host === "" || Number(digits) >= 2 ** 16) return undefined;
    return { host: host.replace(/^\[|\]$/g, ""), port: Number(digits) };
  },
};

/** As {@link PLACE}; a port by itself is of the loopback interface. */
export const METRICS_PLACE: Rule<Place> = {
  allowed: ":port, or an interface, an address or a name of this machine before it, as in :29501",
  parse: (text) => PLACE.parse(text.startsWith(":") ? `127.0.0.1${text}` : text),
};

/** ws://host:port or wss://host:port, one or some, and NATS. */
export const CONTACTS: Rule<readonly string[]> = {
  allowed:
    "ws://host:port or wss://host:port, or nats://host:port or tls://host:port, or some of them with commas between",
  parse: (text) => {
    const urls = text.split(",").map((part) => {
      const [, scheme, address = ""] = /^(wss?|nats|tls):\/\/([^/]+)\/?$/.exec(part.trim()) ?? [];
      return ADDRESS.parse(address) && `${scheme}://${address}`;
    });
    return urls.every((url) => url !== undefined) ? urls : undefined;
  },
};

/** A number of a range. */
export function decimal(allowed: string, isAllowed: (value: number) => boolean): Rule<number> {
  return {
    allowed,
    parse: (text) => {
      const value = /^\d{1,9}(\.\d{1,6})?$/.test(text) ? Number(text) : Number.NaN;
      return isAllowed(value) ? value : undefined;
    },
  };
}

/** Of the outer optimizer. */
export const OUTER_LR: Rule<number> = decimal(
  "a number above 0, to 10, as in 0.7",
  (value) => value > 0 && value <= 10,
);

/** Likewise. */
export const OUTER_MOMENTUM: Rule<number> = decimal(
  "a number from 0 to below 1, as in 0.9",
  (value) => value >= 0 && value < 1,
);

/** zero1, ddp, diloco:H. */
export const SYNC: Rule<Sync> = {
  allowed:
    "zero1, ddp, or diloco:H, where nodes meet at every H-th step, 1 to 10000, as in diloco:50",
  words: ["zero1", "ddp", "diloco:50"],
  parse: (text) => {
    if (text === "zero1" || text === "ddp") return { kind: text };
    const steps = Number(/^diloco:(\d{1,5})$/.exec(text)?.[1]);
    return steps >= 1 && steps <= 10_000 ? { kind: "diloco", steps } : undefined;
  },
};
