/** What an environment demonstrates, as samples of supervised training. */
import { ForgeError } from "../../../engine/error.ts";
import type { Environment } from "../../agent/environment.ts";
import type { PolicyLanguage } from "../../agent/policy.ts";
import { idsOfReply, playScripted } from "../episode/scripted-episode.ts";
import { PURPOSE, smallSeedOf } from "../seeds.ts";
import type { SftSample } from "./sft.ts";
import { demonstrated, sampleOfDemonstration } from "./sft-samples.ts";

/** The samples of a task: one for each request that is made of the policy. */
export type Demonstrations = (index: number) => Promise<SftSample[]>;

/**
 * Demonstrations of an environment's training tasks, by number. Those of an agent are played: its own tools answer, and
 * prompts are the ids that the policy will be fed, exactly.
 *
 * Errors    `argument_invalid` for an environment without demonstrations; of a demonstration, those of its play, and
 *           `argument_invalid` for one that says nothing.
 */
export function demonstrationsOf<Task>(
  environment: Environment<Task>,
  language: PolicyLanguage,
  runSeed = 0,
): Demonstrations {
  const { demonstration, demonstrate } = environment;
  if (!demonstration && !demonstrate) throw undemonstrated(environment.name);
  return async (index) => {
    const task = environment.train(index);
    if (demonstration) {
      const { tokenizer, stopIds } = language;
      return [sampleOfDemonstration(tokenizer, demonstration(task), stopIds[0])];
    }
    const turns = new Map<string, number>();
    const { requests } = await playScripted({
      ...{ environment, task, language, seed: smallSeedOf(runSeed, PURPOSE.warmStart, index) },
      answer: async (request) => {
        const { role = "main", chat = { messages: [], tools: [] } } = request;
        const turn = turns.get(role) ?? 0;
        turns.set(role, turn + 1);
        const reply = await demonstrate?.({ ...chat, task, role, turn });
        return idsOfReply(reply ?? "", request, language);
      },
    });
    return requests.map(({ promptIds, responseIds }) => demonstrated(promptIds, responseIds, task));
  };
}

function undemonstrated(name: string): ForgeError {
  return new ForgeError({
    code: "argument_invalid",
    what: `environment "${name}" has no demonstrations.`,
    fix: "define `demonstration`, or leave the warm start out",
  });
}
