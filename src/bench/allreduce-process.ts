/** Started by `allreduce.ts`, once for each rank: does what it is told over the channel to its parent, and ends with it. */
import { AllreduceRank, type Doors, type RankSettings, type Way } from "./allreduce-rank.ts";

/** What a rank is told, one after the other; each is answered with what it comes to. */
export type Order =
  | { readonly do: "open"; readonly settings: RankSettings }
  | { readonly do: "begin"; readonly doors: readonly Doors[] }
  | { readonly do: "run"; readonly way: Way }
  | { readonly do: "check" };

let rank: AllreduceRank | undefined;

async function obey(order: Order): Promise<unknown> {
  switch (order.do) {
    case "open":
      await rank?.[Symbol.asyncDispose]();
      rank = await AllreduceRank.open(order.settings);
      return rank.doors;
    case "begin":
      return rank?.begin(order.doors);
    case "run":
      return rank?.run(order.way);
    case "check":
      return rank?.check();
  }
}

process.on("message", (order: Order) => {
  // a parent that is gone wants no answer
  const say = (answer: object): void => void process.send?.(answer, () => {});
  obey(order).then(
    (answer) => say({ answer }),
    (error: unknown) => say({ error: String(error) }),
  );
});
// whatever is open
process.on("disconnect", () => process.exit());
