/** Cross a frozen lake in fog, a step a turn: seen is what lies beside oneself, and paid is who comes home. */
import { defineEnvironment, tool } from "forge-gpu";
import { z } from "zod";

/** Cells of a lake, row by row: `.` is ice, `o` a hole. The agent starts on the first, and home, `G`, is the last. */
type Lake = string;

const SIZE = 4;
/** Cells between the first and the last. */
const BETWEEN = SIZE ** 2 - 2;
const HELD_OUT = 128;
const SHORE = "#";
const DIRECTIONS = ["n", "e", "s", "w"] as const;
type Direction = (typeof DIRECTIONS)[number];
const STEPS: Readonly<Record<Direction, readonly [x: number, y: number]>> = {
  ...{ n: [0, -1], e: [1, 0], s: [0, 1], w: [-1, 0] },
};

/** The place that a step leads to; undefined where the shore is. */
function beside(place: number, direction: Direction): number | undefined {
  const [dx, dy] = STEPS[direction];
  const [x, y] = [(place % SIZE) + dx, Math.floor(place / SIZE) + dy];
  return Math.min(x, y) < 0 || Math.max(x, y) >= SIZE ? undefined : y * SIZE + x;
}

/** What the agent is told of its place: column and row, and what lies north, east, south and west, as in `b2 .o.#`. */
function view(lake: Lake, place: number): string {
  const around = DIRECTIONS.map((direction) => lake[beside(place, direction) ?? -1] ?? SHORE);
  return `${"abcd"[place % SIZE]}${Math.floor(place / SIZE) + 1} ${around.join("")}`;
}

/** A shortest way home; undefined where there is none. */
function wayHome(lake: Lake): readonly Direction[] | undefined {
  const ways = new Map<number, readonly Direction[]>([[0, []]]);
  for (const [place, way] of ways) {
    if (lake[place] === "G") return way;
    for (const direction of DIRECTIONS) {
      const next = beside(place, direction);
      if (next === undefined || lake[next] === "o" || ways.has(next)) continue;
      ways.set(next, [...way, direction]);
    }
  }
  return undefined;
}

/** All lakes of three or four holes that can be crossed, 1,091 of them, shuffled: the factor is odd. */
const lakes = Array.from({ length: 2 ** BETWEEN }, (_, index): Lake => {
  const bits = ((index * 40_503) % 2 ** BETWEEN).toString(2).padStart(BETWEEN, "0");
  return `.${bits.replaceAll("0", ".").replaceAll("1", "o")}G`;
}).filter((lake) => [3, 4].includes(lake.split("o").length - 1) && wayHome(lake));

/** A step of somebody who heeds holes, and drifts south and east; the same for the same lake and turn. */
function driftingStep(lake: Lake, turn: number, seen: string): Direction {
  const around = seen.slice(-DIRECTIONS.length);
  const free = [..."nweeesss"].filter((step) => {
    const there = around[DIRECTIONS.indexOf(step as Direction)] ?? SHORE;
    return there === "." || there === "G";
  });
  // FNV-1a
  let hash = 0x811c9dc5;
  for (const character of `${turn}${lake}`)
    hash = Math.imul(hash ^ character.charCodeAt(0), 0x01000193);
  return free[(hash >>> 8) % free.length] as Direction;
}

const go = (direction: Direction) => ({ calls: [{ name: "move", input: { direction } }] });

export const environment = defineEnvironment<Lake, { place: number }>({
  name: "frozen-lake",
  tasks: { train: lakes.slice(HELD_OUT), eval: lakes.slice(0, HELD_OUT) },
  taskId: (lake) => lake,
  state: () => ({ place: 0 }),
  user: (lake) => view(lake, 0),
  tools: ({ task: lake, state }) => ({
    move: tool({
      description: "One step. Tells where you are then, and what lies north, east, south and west.",
      input: z.object({ direction: z.enum(DIRECTIONS) }),
      run: ({ direction }) => {
        if (lake[state.place] === ".") state.place = beside(state.place, direction) ?? state.place;
        return lake[state.place] === "o" ? "the ice breaks" : view(lake, state.place);
      },
    }),
  }),
  isDone: ({ task: lake, state }) => lake[state.place] !== ".",
  maxTurns: 10,
  maxTokens: 10,
  rewards: {
    home: ({ task: lake, state }) => Number(lake[state.place] === "G"),
    steps: { weight: 0, score: ({ toolCalls }) => toolCalls.length },
  },
  demonstration: ({ task: lake, turn, messages }) =>
    go(driftingStep(lake, turn, messages.at(-1)?.content ?? "")),
  validate: (lake) => (wayHome(lake) ?? []).map(go),
  isPure: true,
});
