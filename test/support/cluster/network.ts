/** The network of a simulation: what is sent comes late, twice, spoilt or not at all, by chance or at a place that was chosen. */
import type { NodeId } from "../../../cluster/membership/record.ts";
import { type Damage, damaged, type Packet, phaseOf } from "./packet.ts";
import type { Random } from "./random.ts";

/** How the network behaves. Shares are of all packets, times are milliseconds. */
export interface Weather {
  readonly drop: number;
  readonly duplicate: number;
  readonly damage: number;
  readonly delay: number;
  /** A delay that is now and then much longer. */
  readonly spike: number;
}

export const FAIR: Weather = { drop: 0, duplicate: 0, damage: 0, delay: 2, spike: 0 };

/** What befalls one packet. */
export type Mishap = "dropped" | "delayed" | "duplicated" | "reordered" | Damage;

/** Waits for the so-manieth packet of a phase, and then acts; a mishap it returns befalls that packet. */
export interface Snare {
  readonly phase: string;
  left: number;
  readonly spring: (from: NodeId, to: NodeId) => Mishap | undefined;
}

/** What the network is in. */
export interface NetworkParts {
  readonly random: Random;
  readonly after: (ms: number, to: NodeId, run: () => void) => void;
  readonly deliver: (from: NodeId, to: NodeId, packet: Packet) => void;
  /** Milliseconds by which a node is slower than others. */
  readonly slownessOf: (node: NodeId) => number;
}

/** Milliseconds by which a packet is late. */
const LATE = 3000;
/** Milliseconds after which a packet that nothing overtakes arrives all the same. */
const OVERTAKEN = 400;

/** See the file's head. Packets overtake each other by chance as it is. */
export class Network {
  weather: Weather = FAIR;
  readonly snares = new Set<Snare>();
  readonly #parts: NetworkParts;
  readonly #cut = new Set<string>();
  /** What lets the next packet of its link pass. */
  readonly #held = new Map<string, () => void>();

  constructor(parts: NetworkParts) {
    this.#parts = parts;
  }

  /** Cuts the way from one node to another, or mends it. */
  cut(from: NodeId, to: NodeId, isCut: boolean): void {
    if (isCut) this.#cut.add(`${from} ${to}`);
    else this.#cut.delete(`${from} ${to}`);
  }

  /** Mends all. */
  heal(): void {
    this.weather = FAIR;
    this.#cut.clear();
    this.snares.clear();
  }

  send(from: NodeId, to: NodeId, packet: Packet): void {
    const link = `${from} ${to}`;
    const mishap = this.#mishap(from, to, packet);
    // the cable may be what was cut
    if (this.#cut.has(link) || mishap === "dropped") return;
    const { random } = this.#parts;
    const isSpoilt = mishap === "truncated" || mishap === "corrupt";
    const arriving = isSpoilt ? damaged(packet, mishap, random) : packet;
    if (!arriving) return;
    if (mishap === "reordered") {
      this.#hold(link, () => this.#carry(from, to, arriving, 0));
      return;
    }
    this.#carry(from, to, arriving, mishap === "delayed" ? LATE * random.next() : 0);
    if (mishap === "duplicated")
      this.#carry(from, to, arriving, random.next() * random.next() * LATE);
    const held = this.#held.get(link);
    this.#held.delete(link);
    held?.();
  }

  #carry(from: NodeId, to: NodeId, packet: Packet, late: number): void {
    const { random, after, deliver, slownessOf } = this.#parts;
    const { delay, spike } = this.weather;
    const gust = random.chance(spike) ? 400 * random.next() : 0;
    const ms = delay * (0.5 + random.next()) + late + gust + slownessOf(from) + slownessOf(to);
    after(ms, to, () => {
      if (!this.#cut.has(`${from} ${to}`)) deliver(from, to, packet);
    });
  }

  #hold(link: string, carry: () => void): void {
    this.#held.get(link)?.();
    this.#held.set(link, carry);
    this.#parts.after(OVERTAKEN, link.slice(link.indexOf(" ") + 1), () => {
      if (this.#held.get(link) !== carry) return;
      this.#held.delete(link);
      carry();
    });
  }

  #mishap(from: NodeId, to: NodeId, packet: Packet): Mishap | undefined {
    const { random } = this.#parts;
    if (this.snares.size > 0) {
      const phase = phaseOf(packet);
      for (const snare of this.snares) {
        if (snare.phase !== phase || --snare.left > 0) continue;
        this.snares.delete(snare);
        return snare.spring(from, to);
      }
    }
    const { drop, duplicate, damage } = this.weather;
    if (drop + duplicate + damage === 0) return undefined;
    if (random.chance(drop)) return "dropped";
    if (random.chance(duplicate)) return "duplicated";
    if (random.chance(damage)) return random.chance(0.5) ? "corrupt" : "truncated";
    return undefined;
  }
}
