/** Back-pressure: room for completions, and those who wait for it. */
import { ended, type OpenGroup, type OpenSession } from "./open-group.ts";
import { type Completion, refuse, tokensOf } from "./record.ts";
import { WaitingLine } from "./waiting-line.ts";

/** A completion and where it belongs. */
interface Parcel {
  readonly session: OpenSession;
  readonly completion: Completion;
}

/** Room in tokens. The oldest group is let in beyond it, or nothing would ever be finished. */
export class Room {
  readonly capacityTokens: number;
  readonly #groups: { readonly oldest: OpenGroup | undefined };
  readonly #line = new WaitingLine<Parcel, void>();
  #tokens = 0;

  /** Errors    `argument_invalid`. */
  constructor(capacityTokens: number, groups: { readonly oldest: OpenGroup | undefined }) {
    if (!Number.isSafeInteger(capacityTokens) || capacityTokens < 1)
      refuse("pool", "capacityTokens", capacityTokens, "it is a positive integer");
    this.capacityTokens = capacityTokens;
    this.#groups = groups;
  }

  /** Tokens that are stored. */
  get tokens(): number {
    return this.#tokens;
  }

  /** Completions that wait. */
  get waiting(): number {
    return this.#line.size;
  }

  /** Stores a completion in its session; false when it has to wait. */
  store(parcel: Parcel): boolean {
    return this.#store(parcel, this.#line.size > 0);
  }

  /** Fulfilled when {@link letIn} has stored it. Rejected by {@link turnAway}, and when the signal is aborted. */
  wait(parcel: Parcel, signal?: AbortSignal): Promise<void> {
    return this.#line.wait(parcel, signal);
  }

  /**
   * Stores what there is room for now: in the order of the line, the oldest group before all. Gives the session of
   * each; what is settled meanwhile may make more room.
   */
  *letIn(): Generator<OpenSession> {
    let isBehind = false;
    for (const waiter of this.#line) {
      if (this.#store(waiter.item, isBehind)) {
        waiter.resolve();
        yield waiter.item.session;
      } else isBehind = true;
    }
  }

  /** Refuses the completions of a session that wait: `state_conflict`. */
  turnAway(session: OpenSession): void {
    for (const waiter of this.#line)
      if (waiter.item.session === session) waiter.reject(ended(session.sessionId, "completion"));
  }

  /** Counts what a session has, whether there is room or not. */
  occupy(session: OpenSession): void {
    for (const completion of session.completions) this.#tokens += tokensOf(completion);
  }

  /** Undoes {@link occupy}. */
  free(session: OpenSession): void {
    for (const completion of session.completions) this.#tokens -= tokensOf(completion);
  }

  #store({ session, completion }: Parcel, isBehind: boolean): boolean {
    const tokens = this.#tokens + tokensOf(completion);
    const hasRoom = !isBehind && tokens <= this.capacityTokens;
    if (!hasRoom && session.group !== this.#groups.oldest) return false;
    session.completions.push(completion);
    this.#tokens = tokens;
    return true;
  }
}
