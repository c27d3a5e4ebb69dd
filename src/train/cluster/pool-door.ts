/** Where players ask for groups, and bring what they have made of them. */
import type { Route, RouteAnswer, RouteRequest } from "../../../cluster/index.ts";
import { ForgeError } from "../../../engine/index.ts";
import type { JobBoard } from "./job-board.ts";
import { readTakeRequest } from "./job-source.ts";
import { decodePlayedGroup } from "./played-group.ts";

/** Paths of the pool's routes. */
export const POOL_PATHS = { take: "/pool/take", give: "/pool/give" } as const;

/** Answered by a node that does not lead: whoever does is to be asked. */
export const MISDIRECTED = 421;
/** Answered to what cannot be used, with its error as JSON. */
export const UNUSABLE = 422;

/** Answered to a question in whose place there is another one by now: the later one need not be the one that arrives last. */
export const SUPERSEDED = 409;

/** Bytes of a question; a player says all that it has. */
const QUESTION_BYTES = 2 ** 22;
/** Bytes of a played group. */
const GROUP_BYTES = 2 ** 28;

/**
 * The routes of the pool. Trainers play too, so both roles come here, and it is all that rollout nodes may change: groups, which the
 * pool checks, and which count only if they were asked for.
 */
export class PoolDoor {
  readonly routes: readonly Route[];
  /** As long as this node leads, and collects. */
  board: JobBoard | undefined;

  constructor() {
    const roles = ["trainer", "rollout"] as const;
    this.routes = [
      {
        ...{ method: "POST", path: POOL_PATHS.take, roles, bodyBytes: QUESTION_BYTES },
        answer: (request) => this.#answer(request, (board) => take(board, request)),
      },
      {
        ...{ method: "POST", path: POOL_PATHS.give, roles, bodyBytes: GROUP_BYTES },
        answer: (request) => this.#answer(request, (board) => give(board, request)),
      },
    ];
  }

  async #answer(
    { signal }: RouteRequest,
    answer: (board: JobBoard) => object | Promise<object>,
  ): Promise<RouteAnswer> {
    const { board } = this;
    if (!board) return { status: MISDIRECTED };
    try {
      return { status: 200, body: await answer(board) };
    } catch (error) {
      if (signal.aborted) return { status: 503 };
      if (!(error instanceof ForgeError)) throw error;
      const { code, message } = error;
      if (code === "state_conflict") return { status: SUPERSEDED };
      return { status: UNUSABLE, body: { code, message } };
    }
  }
}

function take(board: JobBoard, { nodeId, body, signal }: RouteRequest): Promise<object> {
  return board.take(nodeId, readTakeRequest(jsonOf(body)), signal);
}

function give(board: JobBoard, { nodeId, body }: RouteRequest): object {
  return { verdict: board.give(nodeId, decodePlayedGroup(jsonOf(body))) };
}

function jsonOf(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch (cause) {
    throw new ForgeError({
      code: "argument_invalid",
      what: "pool: this is no JSON.",
      got: `${body.length} bytes`,
      fix: "use the same version of forge-gpu on all nodes",
      cause,
    });
  }
}
