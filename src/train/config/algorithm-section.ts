/** Section `algorithm`: by its name with its options, or as an object. */
import { z } from "zod";
import type { Algorithm } from "../../rl/algorithm/algorithm.ts";
import { ALGORITHMS, type AlgorithmName, algorithm } from "../../rl/algorithm/index.ts";
import { oneOf, taking } from "./fields.ts";
import type { NamedAlgorithm } from "./types.ts";

const NAMES = Object.keys(ALGORITHMS);

/** Whether it is an algorithm as an object rather than the name of one. */
export function isAlgorithm(value: unknown): value is Algorithm {
  return typeof Object(value).advantage === "function" && "loss" in Object(value);
}

/**
 * The algorithm that a configuration names.
 *
 * @throws ForgeError `argument_invalid` for options that it does not have, or that it refuses
 */
export function algorithmOf(section: NamedAlgorithm | Algorithm): Algorithm {
  if (isAlgorithm(section)) return section;
  const { name, ...options } = section;
  return algorithm(name as AlgorithmName, options);
}

const name = taking(oneOf(NAMES), z.string().min(1))
  .meta({ words: NAMES })
  .describe("Name; the keys beside it are options of the algorithm.");

/** Options are the algorithm's to check. */
export const algorithmSection: z.ZodType<NamedAlgorithm | Algorithm> = taking(
  "section with a name",
  z
    .looseObject({ name })
    .refine((read) => NAMES.includes(read.name) || isAlgorithm(read), { path: ["name"] })
    .transform((read) => read as unknown as NamedAlgorithm | Algorithm),
)
  .default({ name: "forge" })
  .describe(
    "What is made of rewards. In TypeScript it may be an Algorithm, with a loss and an advantage of its own.",
  );
