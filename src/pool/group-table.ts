/** The groups that the pool holds, and how agents find their sessions. */
import { type GroupInput, type OpenGroup, type OpenSession, openGroup } from "./open-group.ts";
import { refuse } from "./record.ts";

/** Groups by ascending id, which is also the order of going through them. */
export class GroupTable {
  /** Ids from here on have never been in it. */
  next = 0;
  readonly #groups = new Map<number, OpenGroup>();

  get size(): number {
    return this.#groups.size;
  }

  get oldest(): OpenGroup | undefined {
    const [oldest] = this.#groups.values();
    return oldest;
  }

  get(groupId: number): OpenGroup | undefined {
    return this.#groups.get(groupId);
  }

  /** Errors    `argument_invalid`. */
  open(input: GroupInput, now: number): OpenGroup {
    const { groupId } = input;
    if (!Number.isSafeInteger(groupId) || groupId < this.next)
      refuse("group", "groupId", groupId, `it is an integer from ${this.next} on`);
    const group = openGroup(input, now);
    this.next = groupId + 1;
    this.#groups.set(groupId, group);
    return group;
  }

  delete(groupId: number): void {
    this.#groups.delete(groupId);
  }

  /** Undefined when its group has left. Errors: `argument_invalid` for one that never was. */
  session(sessionId: string): OpenSession | undefined {
    const [, groupId, sampleIndex] = /^(0|[1-9]\d*)-(0|[1-9]\d*)$/.exec(sessionId) ?? [];
    const group = this.#groups.get(Number(groupId));
    const session = group?.sessions[Number(sampleIndex)];
    if (!session && (group || !(Number(groupId) < this.next)))
      refuse("pool", "sessionId", sessionId, "the pool has opened no such session");
    return session;
  }

  [Symbol.iterator](): Iterator<OpenGroup> {
    return this.#groups.values();
  }
}
