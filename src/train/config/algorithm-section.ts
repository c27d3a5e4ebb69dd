/** Section `algorithm`: by its name with its options, or as an object. */
import { z } from "zod";
import type { Algorithm } from "../../rl/algorithm/algorithm.ts";
import { oneOf, taking } from "./fields.ts";
import type { NamedAlgorithm } from "./types.ts";

const NAMES = ["forge"];

/** Whether it is an algorithm as an object rather than the name of one. */
export function isAlgorithm(value: NamedAlgorithm | Algorithm): value is Algorithm {
  return typeof (value as Partial<Algorithm>).advantage === "function";
}

const name = taking(oneOf(NAMES), z.string().min(1)).meta({ words: NAMES });

/** Options are the algorithm's to check. */
export const algorithmSection: z.ZodType<NamedAlgorithm | Algorithm> = taking(
  "section with a name",
  z
    .looseObject({ name: name.describe("Name; the keys beside it are options of the algorithm.") })
    .refine((read) => NAMES.includes(read.name) || isAlgorithm(read), { path: ["name"] }),
)
  .default({ name: "forge" })
  .describe(
    "What is made of rewards. In TypeScript it may be an Algorithm, with a loss and an advantage of its own.",
  );
