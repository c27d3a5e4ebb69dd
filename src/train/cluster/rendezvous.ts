/** Where nodes of a run find each other before they are members. Who is a member is decided elsewhere, by the members. */

/** A node that can be asked. */
export interface Contact {
  readonly node: string;
  /** ws://host:port or wss://host:port. */
  readonly address: string;
}

/** See the file's head. */
export interface Rendezvous extends AsyncDisposable {
  /** Lets others find this node, until it is disposed of or dies. Errors: those of where it is written. */
  announce(contact: Contact): Promise<void>;
  /** Others that may be in the cluster, those first that were heard of last. Errors: as {@link announce}. */
  contacts(): Promise<readonly Contact[]>;
  /**
   * Whether this node is to begin the cluster, now that none of its contacts is in one: of several that ask, one is told so.
   * Errors: as {@link announce}.
   */
  mayFound(): Promise<boolean>;
  /** This node has found the cluster: while it lives, nobody else is to begin one. */
  vouch(): void;
}

/** When a node that was given addresses begins a cluster. */
export type Founding = "at-once" | "if-nobody-answers" | "never";

/** Addresses that were given, and a word on who begins. */
export class GivenRendezvous implements Rendezvous {
  readonly #contacts: readonly Contact[];
  readonly #founding: Founding;

  constructor(addresses: readonly string[], founding: Founding) {
    this.#contacts = addresses.map((address) => ({ node: address, address }));
    this.#founding = founding;
  }

  /** Nobody has to be told: who is to find this node was given its address. */
  async announce(): Promise<void> {}

  /** See {@link Rendezvous.contacts}: all of them, in their order; nobody for who is to begin at once. */
  async contacts(): Promise<readonly Contact[]> {
    return this.#founding === "at-once" ? [] : this.#contacts;
  }

  /** See {@link Rendezvous.mayFound}. */
  async mayFound(): Promise<boolean> {
    return this.#founding !== "never";
  }

  /** Nothing to be done. */
  vouch(): void {}

  async [Symbol.asyncDispose](): Promise<void> {}
}
