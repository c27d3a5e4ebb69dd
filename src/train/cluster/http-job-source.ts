/** Groups from whoever leads, asked for at its door. */
import { setTimeout as sleep } from "node:timers/promises";
import type { NodeClient } from "../../../cluster/index.ts";
import { ForgeError } from "../../../engine/index.ts";
import type { Verdict } from "../episode/dispatcher.ts";
import { type JobSource, readTaken, type Taken, type TakeRequest } from "./job-source.ts";
import type { EncodedGroup } from "./played-group.ts";
import { POOL_PATHS, SUPERSEDED, UNUSABLE } from "./pool-door.ts";

/** A node, and where it is reached. */
export interface Collecting {
  readonly node: string;
  readonly address: string;
}

/** Milliseconds that an answer may take: those who have nothing to hand out answer sooner. */
const PATIENCE = 120_000;

/** Milliseconds before a question that was overtaken is asked again. */
const PAUSE = 20;

/** See the file's head. */
export class HttpJobSource implements JobSource {
  readonly #client: NodeClient;
  readonly #leader: () => Collecting | undefined | Promise<Collecting | undefined>;

  /** @param leader who leads, as far as is known; undefined for nobody, or this node itself */
  constructor(
    client: NodeClient,
    leader: () => Collecting | undefined | Promise<Collecting | undefined>,
  ) {
    this.#client = client;
    this.#leader = leader;
  }

  async take(request: TakeRequest, signal: AbortSignal): Promise<Taken> {
    const answer = await this.#post(POOL_PATHS.take, request, signal);
    if (answer !== undefined) return readTaken(answer);
    await sleep(PAUSE, undefined, { signal });
    return { jobs: [], cancelled: [] };
  }

  async give(group: EncodedGroup, signal: AbortSignal): Promise<Verdict> {
    const answer = await this.#post(POOL_PATHS.give, group, signal);
    return Object(answer).verdict === "taken" ? "taken" : "unwanted";
  }

  /** Undefined for a question that another one has overtaken. */
  async #post(path: `/${string}`, body: object, signal: AbortSignal): Promise<unknown> {
    const leader = await this.#leader();
    if (!leader) throw new Error("nobody leads");
    const { node: peer, address } = leader;
    const answer = await this.#client.ask(address, {
      ...{ method: "POST", path, peer, body, signal, timeoutMs: PATIENCE },
    });
    if (answer.status === 200) return answer.json();
    if (answer.status === SUPERSEDED) return undefined;
    if (answer.status === UNUSABLE) throw refused(answer.json());
    throw new Error(`${peer} answers ${answer.status}`);
  }
}

/** What the other end has said is wrong with the question. */
function refused(said: unknown): ForgeError {
  const { message } = Object(said) as { readonly message?: unknown };
  return new ForgeError({
    code: "argument_invalid",
    what: "the pool has refused what this node said.",
    got: String(message).split("\n", 1)[0] as string,
    fix: "use the same version of forge-gpu and the same configuration on all nodes",
  });
}
