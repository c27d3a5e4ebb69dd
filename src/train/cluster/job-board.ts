/** Who plays which group: the side of the node that collects. It knows players by name, and nothing of how they are reached. */
import { ForgeError } from "../../../engine/error.ts";
import type { Clock } from "../../pool/clock.ts";
import type { Dispatcher, GroupHome, Job, Verdict } from "../episode/dispatcher.ts";
import type { Taken, TakeRequest } from "./job-source.ts";
import type { PlayedGroup } from "./played-group.ts";

/** Options of {@link JobBoard}. */
export interface JobBoardOptions {
  readonly clock: Clock;
  /** How long a player may say nothing before its groups are taken back; on the clock. */
  readonly leaseMs: number;
}

/** Figures of a {@link JobBoard}. */
export interface JobBoardStats {
  /** Groups that players have. */
  readonly out: number;
  /** By name. */
  readonly players: readonly PlayerStats[];
}

/** Figures of a player. */
export interface PlayerStats {
  readonly name: string;
  /** Whether its lease holds. */
  readonly isHere: boolean;
  /** Groups it has; those whose result was taken; those that were taken back. */
  readonly out: number;
  readonly played: number;
  readonly lost: number;
}

/** A player waits for an answer. */
interface Question {
  /** Groups that it could begin beside those it has. */
  room: number;
  answer(): void;
  refuse(error: unknown): void;
}

interface Player {
  readonly name: string;
  isHere: boolean;
  /** By group. */
  readonly jobs: Map<number, Job>;
  question: Question | undefined;
  /** Calls the end of its lease off. */
  callOff: () => void;
  played: number;
  lost: number;
}

/** Shares of a lease after which a player that waits is told that there is nothing. */
const POLLS_PER_LEASE = 3;
/** Players that are remembered after they have gone. */
const MOST_PLAYERS = 1024;

/**
 * Hands each group to the player with most room. A player has what it says it has: where an answer with jobs did not reach it, it
 * is told again. One that says nothing for the length of its lease has lost what it had.
 */
export class JobBoard implements Dispatcher, Disposable {
  readonly #clock: Clock;
  readonly #leaseMs: number;
  #home: GroupHome | undefined;
  /** Those that were heard of last come last. */
  readonly #players = new Map<string, Player>();
  /** Who has a group. */
  readonly #out = new Map<number, Player>();

  constructor(options: JobBoardOptions) {
    this.#clock = options.clock;
    this.#leaseMs = options.leaseMs;
  }

  /** See {@link JobBoardStats}. */
  get stats(): JobBoardStats {
    const players = [...this.#players.values()].map(({ name, isHere, jobs, played, lost }) => {
      return { name, isHere, out: jobs.size, played, lost };
    });
    players.sort((a, b) => (a.name < b.name ? -1 : 1));
    return { out: this.#out.size, players };
  }

  /** Players whose leases hold. */
  get players(): number {
    return [...this.#players.values()].filter(({ isHere }) => isHere).length;
  }

  /** See `Dispatcher.attach`. */
  attach(home: GroupHome): void {
    this.#home = home;
  }

  /** See `Dispatcher.dispatch`. */
  dispatch(job: Job): boolean {
    let best: Player | undefined;
    for (const player of this.#players.values()) if (roomOf(player) > roomOf(best)) best = player;
    if (!best?.question) return false;
    best.question.room--;
    best.jobs.set(job.groupId, job);
    this.#out.set(job.groupId, best);
    best.question.answer();
    return true;
  }

  /** See `Dispatcher.cancel`. */
  cancel(groupId: number): void {
    this.#release(groupId)?.question?.answer();
  }

  /** The player is there, though it may not ask: it trains. */
  alive(name: string): void {
    this.#hear(name);
  }

  /** The player is gone, as far as is known: others play what it has. What it brings nevertheless counts if it is the first. */
  gone(name: string): void {
    const player = this.#players.get(name);
    if (!player?.isHere) return;
    player.callOff();
    this.#lose(player);
  }

  /**
   * A player asks what to do, and waits until there is something, or a third of its lease is over.
   *
   * Errors    `state_conflict` when it asks again meanwhile; the signal's reason.
   */
  async take(name: string, request: TakeRequest, signal?: AbortSignal): Promise<Taken> {
    signal?.throwIfAborted();
    const player = this.#hear(name);
    player.question?.refuse(superseded(name));
    const held = new Map(request.holds.map(({ groupId, attempt }) => [groupId, attempt]));
    const news = (): Taken => ({
      jobs: [...player.jobs.values()].filter((job) => held.get(job.groupId) !== job.attempt),
      cancelled: [...held]
        .filter(([groupId, attempt]) => player.jobs.get(groupId)?.attempt !== attempt)
        .map(([groupId]) => groupId),
    });
    const { jobs, cancelled } = news();
    const asked = this.#ask(player, request.room - jobs.length, signal);
    if (jobs.length + cancelled.length > 0) player.question?.answer();
    if (roomOf(player) > 0) this.#home?.offer();
    await asked;
    return news();
  }

  /**
   * A player hands a group in. What others are doing for it is called off.
   *
   * Errors    as `GroupHome.adopt`: the group is then taken back, to be played by somebody else.
   */
  give(name: string, group: PlayedGroup): Verdict {
    const player = this.#hear(name);
    const { groupId, attempt } = group;
    const isIts = player.jobs.get(groupId)?.attempt === attempt;
    if (isIts) this.#release(groupId);
    try {
      const verdict = this.#home?.adopt(group) ?? "unwanted";
      if (verdict === "taken") player.played++;
      return verdict;
    } catch (error) {
      if (isIts) {
        player.lost++;
        this.#home?.takeBack(groupId);
      }
      throw error;
    }
  }

  /** Nobody waits, and no lease runs any more. */
  [Symbol.dispose](): void {
    for (const player of this.#players.values()) {
      player.callOff();
      player.question?.answer();
    }
  }

  /** Until the player is answered, or has waited long enough. */
  async #ask(player: Player, room: number, signal: AbortSignal | undefined): Promise<void> {
    const { promise, resolve, reject } = deferred();
    const question = { room, answer: resolve, refuse: reject };
    player.question = question;
    const leave = (): void => {
      if (player.question === question) player.question = undefined;
    };
    const abort = (): void => {
      leave();
      reject(signal?.reason);
    };
    const callOff = this.#clock.at(this.#clock.now() + this.#leaseMs / POLLS_PER_LEASE, resolve);
    signal?.addEventListener("abort", abort);
    try {
      // more may be handed to it until it hears of the first
      await promise;
    } finally {
      leave();
      callOff();
      signal?.removeEventListener("abort", abort);
    }
  }

  /** Renews the lease of a player. */
  #hear(name: string): Player {
    const player = this.#players.get(name) ?? newcomer(name);
    player.isHere = true;
    player.callOff();
    player.callOff = this.#clock.at(this.#clock.now() + this.#leaseMs, () => this.#lose(player));
    this.#players.delete(name);
    this.#players.set(name, player);
    const [longestGone] = this.#players.values();
    if (this.#players.size > MOST_PLAYERS && longestGone && !longestGone.isHere)
      this.#players.delete(longestGone.name);
    return player;
  }

  #lose(player: Player): void {
    player.isHere = false;
    player.question?.answer();
    player.question = undefined;
    const groups = [...player.jobs.keys()];
    player.lost += groups.length;
    for (const groupId of groups) this.#release(groupId);
    for (const groupId of groups) this.#home?.takeBack(groupId);
  }

  /** Nobody has the group any more. Who had it, if anybody. */
  #release(groupId: number): Player | undefined {
    const player = this.#out.get(groupId);
    this.#out.delete(groupId);
    player?.jobs.delete(groupId);
    return player;
  }
}

function newcomer(name: string): Player {
  const figures = { played: 0, lost: 0 };
  return {
    name,
    isHere: true,
    jobs: new Map(),
    question: undefined,
    callOff: () => {},
    ...figures,
  };
}

/** Groups that a player may be handed now. */
function roomOf(player: Player | undefined): number {
  return player?.question?.room ?? 0;
}

function deferred(): {
  promise: Promise<void>;
  resolve: () => void;
  reject: (error: unknown) => void;
} {
  let [resolve, reject] = [(): void => {}, (_: unknown): void => {}];
  const promise = new Promise<void>((done, failed) => {
    [resolve, reject] = [done, failed];
  });
  return { promise, resolve, reject };
}

function superseded(name: string): ForgeError {
  return new ForgeError({
    code: "state_conflict",
    what: `job board: player "${name}" has asked again.`,
    why: "a player asks one question at a time, and no two have one name",
    fix: "give each player a name of its own",
  });
}
