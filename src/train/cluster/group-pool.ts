/** How groups get from whoever leads to those who play, and back. */
import type { NodeClient } from "../../../cluster/index.ts";
import { wallClock } from "../../pool/clock.ts";
import type { Dispatcher } from "../episode/dispatcher.ts";
import { type Collecting, HttpJobSource } from "./http-job-source.ts";
import { JobBoard } from "./job-board.ts";
import type { JobSource } from "./job-source.ts";
import type { PoolDoor } from "./pool-door.ts";

/** The side of the node that leads, as long as it does. */
export interface GroupBoard extends Dispatcher, AsyncDisposable {
  /** Players that are there. */
  readonly players: number;
  /** The player is there, though it does not ask: it trains. */
  alive?(name: string): void;
  /** The player is gone, as far as is known. */
  gone?(name: string): void;
}

/** See the file's head. */
export interface GroupPool {
  /** This node leads from now on. @param groups in flight at most */
  open(groups: number): Promise<GroupBoard>;
  /** Groups for this node to play. @param leader who leads, as far as is known; nobody where it is this node */
  source(leader: () => Collecting | undefined): JobSource;
}

/** Milliseconds that a player may be silent. One whose process is gone is silent as well. */
const LEASE_MS = 30_000;

/** Players ask at the door of whoever leads. */
export class EmbeddedPool implements GroupPool {
  readonly #door: PoolDoor;
  readonly #client: NodeClient;

  constructor(door: PoolDoor, client: NodeClient) {
    this.#door = door;
    this.#client = client;
  }

  /** See {@link GroupPool.open}. */
  async open(): Promise<GroupBoard> {
    const board = new JobBoard({ clock: wallClock(), leaseMs: LEASE_MS });
    const door = this.#door;
    door.board = board;
    return {
      get players(): number {
        return board.players;
      },
      attach: (home) => board.attach(home),
      dispatch: (job) => board.dispatch(job),
      cancel: (groupId) => board.cancel(groupId),
      alive: (name) => board.alive(name),
      gone: (name) => board.gone(name),
      [Symbol.asyncDispose]: async () => {
        board[Symbol.dispose]();
        if (door.board === board) door.board = undefined;
      },
    };
  }

  /** See {@link GroupPool.source}. */
  source(leader: () => Collecting | undefined): JobSource {
    return new HttpJobSource(this.#client, leader);
  }
}
