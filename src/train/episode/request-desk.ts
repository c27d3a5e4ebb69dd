/**
 * Where episodes hand in their requests, and wait.
 *
 * Agents run when their promises are fulfilled, in an order that nobody should depend on. A trainer that must repeat lets
 * all of them come to rest, passes on what they ask for in the order of its place, and only then lets the GPU go on.
 */
import { ForgeError } from "../../../engine/error.ts";
import type { Generation, GenerationRequest } from "../../rollout/request.ts";
import type { Sampler } from "../../rollout/sampler.ts";
import type { Session } from "../../rollout/session.ts";

/** Where a request stands among the others, as (purpose, group, sample); its number in the episode comes last. */
export type Place = readonly number[];

interface Waiting {
  readonly place: Place;
  readonly pass: () => void;
}

/** Timers count in 31 bits. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** See the file's head. */
export class RequestDesk {
  readonly #sampler: Sampler;
  #waiting: Waiting[] = [];
  readonly #atWork = new Set<EpisodeDesk>();
  #bells: (() => void)[] = [];
  #events = 0;
  /** How often all episodes have come to rest. */
  #rests = 0;

  constructor(sampler: Sampler) {
    this.#sampler = sampler;
  }

  /** For an episode that begins, and is at work from now on. */
  open(place: Place): EpisodeDesk {
    const desk = new EpisodeDesk(place, {
      sampler: this.#sampler,
      rests: () => this.#rests,
      queue: (waiting) => {
        this.#waiting.push(waiting);
        this.#ring();
      },
      setAtWork: (isAtWork) => {
        if (isAtWork) this.#atWork.add(desk);
        else this.#atWork.delete(desk);
        this.#ring();
      },
    });
    this.#atWork.add(desk);
    return desk;
  }

  /** Until each episode waits for the policy, or is over. */
  async settled(signal?: AbortSignal): Promise<void> {
    for (;;) {
      signal?.throwIfAborted();
      const before = this.#events;
      // what has been fulfilled goes on within this turn of the event loop
      await nextTask();
      if (before !== this.#events) continue;
      if (this.#atWork.size === 0) {
        this.#rests++;
        return;
      }
      await this.progress(before, signal);
    }
  }

  /** Wakes whoever waits for {@link progress}: something else has happened that it should look at. */
  wake(): void {
    this.#ring();
  }

  /** Counts requests handed in, and episodes that go on, rest or end. */
  get events(): number {
    return this.#events;
  }

  /** Until something has happened since {@link events} was read. */
  async progress(since: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (since !== this.#events) return;
    // a process whose agents all wait for something that keeps it alive by nothing would end here
    const alive = setInterval(() => {}, LONGEST_TIMER_MS);
    try {
      await new Promise<void>((resolve, reject) => {
        const abort = (): void => reject(signal?.reason);
        signal?.addEventListener("abort", abort, { once: true });
        this.#bells.push(() => {
          signal?.removeEventListener("abort", abort);
          resolve();
        });
      });
    } finally {
      clearInterval(alive);
    }
  }

  /** Passes all requests that wait on to the sampler, in the order of their places. */
  flush(): void {
    const waiting = this.#waiting.sort((a, b) => compare(a.place, b.place));
    this.#waiting = [];
    for (const { pass } of waiting) pass();
  }

  #ring(): void {
    this.#events++;
    const bells = this.#bells;
    this.#bells = [];
    for (const bell of bells) bell();
  }
}

interface DeskHost {
  readonly sampler: Sampler;
  readonly rests: () => number;
  readonly queue: (waiting: Waiting) => void;
  readonly setAtWork: (isAtWork: boolean) => void;
}

/** The desk of one episode. */
export class EpisodeDesk implements Disposable {
  readonly #place: Place;
  readonly #host: DeskHost;
  readonly #session: Session;
  #outstanding = 0;
  #isOver = false;
  /** How often all had come to rest when this one last went on. */
  #wentOn: number;
  #whenQuiet: (() => void)[] = [];

  constructor(place: Place, host: DeskHost) {
    this.#place = place;
    this.#host = host;
    this.#session = host.sampler.session();
    this.#wentOn = host.rests();
  }

  /**
   * Asks the policy. The episode is at rest until `onDone` is fulfilled too, and until other requests of its are answered.
   *
   * Errors    those of `Sampler.generate`, and what `onDone` throws; `environment_failed` for a request beside another one
   *           that comes after all have come to rest: a run that must repeat could not.
   */
  async generate<T>(
    requestIndex: number,
    request: GenerationRequest,
    onDone: (generation: Generation) => Promise<T>,
  ): Promise<T> {
    const { sampler, rests, queue, setAtWork } = this.#host;
    if (this.#outstanding > 0 && this.#wentOn !== rests()) throw outOfTurn();
    this.#outstanding++;
    setAtWork(false);
    try {
      const generation = await new Promise<Generation>((resolve) => {
        const pass = (): void => resolve(sampler.generate(request, this.#session));
        queue({ place: [...this.#place, requestIndex], pass });
      });
      return await onDone(generation);
    } finally {
      this.#outstanding--;
      this.#wentOn = rests();
      // one that waits for several answers is at rest until the last
      if (this.#outstanding === 0 && !this.#isOver) setAtWork(true);
      if (this.#outstanding === 0) for (const call of this.#whenQuiet.splice(0)) call();
    }
  }

  /** Until none of its requests is out. */
  async quiet(): Promise<void> {
    if (this.#outstanding > 0) await new Promise<void>((resolve) => this.#whenQuiet.push(resolve));
  }

  /** The episode is over. */
  [Symbol.dispose](): void {
    this.#isOver = true;
    this.#session[Symbol.dispose]();
    this.#host.setAtWork(false);
  }
}

function outOfTurn(): ForgeError {
  return new ForgeError({
    code: "environment_failed",
    what: "the agent has asked out of turn, though its environment is declared pure.",
    why: "with a request out, it waited for something else before it asked again: when that is depends on the machine",
    fix: "ask in the same turn of the event loop as the last answer, await all answers before anything else, or set isPure to false",
  });
}

function compare(a: Place, b: Place): number {
  for (const [i, x] of a.entries()) {
    const y = b[i] ?? -1;
    if (x !== y) return x - y;
  }
  return a.length - b.length;
}

/** Until what is fulfilled by now has gone on as far as it can without waiting. */
export function nextTask(): Promise<void> {
  return new Promise((resolve) => {
    if (typeof setImmediate === "function") setImmediate(resolve);
    else setTimeout(resolve, 0);
  });
}
