/** Players that play for a board in the same process, over JSON that goes nowhere. */
import type { JobBoard } from "../../src/train/cluster/job-board.ts";
import { type JobSource, readTaken, readTakeRequest } from "../../src/train/cluster/job-source.ts";
import { decodePlayedGroup } from "../../src/train/cluster/played-group.ts";

/** What a transport makes of a value. */
export function throughJson(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

/** The source of a player of that name. What it says and hears is what routes of HTTP would make of it. */
export function sourceOf(board: JobBoard, name: string): JobSource {
  return {
    take: async (request, signal) => {
      const taken = await board.take(name, readTakeRequest(throughJson(request)), signal);
      return readTaken(throughJson(taken));
    },
    give: async (group) => board.give(name, decodePlayedGroup(throughJson(group))),
  };
}
