/** Whether an environment rewards the right answers: looked at before anything is trained on it. */
import { ForgeError } from "../../../engine/error.ts";
import type { Environment, WrittenReply } from "../../agent/environment.ts";
import type { PolicyLanguage } from "../../agent/policy.ts";
import { PURPOSE, smallSeedOf } from "../seeds.ts";
import { scoreEpisode } from "./scores.ts";
import { idsOfReply, playScripted } from "./scripted-episode.ts";

/** Tasks of each split that are played. */
const TASKS = 4;

/**
 * Plays the first tasks to train on and the first held-out ones with the right answers, where the environment gives them:
 * each must be a success. Rewards that compare the plays of a group are left out.
 *
 * @returns how many were played
 *
 * Errors    `environment_failed`, naming the task and what its components said; those of the plays.
 */
export async function validateEnvironment<Task>(
  environment: Environment<Task>,
  language: PolicyLanguage,
): Promise<number> {
  const { validate, train, trainCount } = environment;
  if (!validate) return 0;
  const trained = Array.from({ length: Math.min(TASKS, trainCount) }, (_, i) => train(i));
  const tasks = [...trained, ...environment.eval.slice(0, TASKS)];
  for (const [index, task] of tasks.entries()) {
    const given = validate(task);
    const replies: readonly WrittenReply[] = isList(given) ? given : [given];
    await check({ environment, task, index, replies, language });
  }
  return tasks.length;
}

async function check<Task>(play: {
  readonly environment: Environment<Task>;
  readonly task: Task;
  readonly index: number;
  readonly replies: readonly WrittenReply[];
  readonly language: PolicyLanguage;
}): Promise<void> {
  const { environment, task, index, replies, language } = play;
  const { trace } = await playScripted({
    ...{ environment, task, language, seed: smallSeedOf(0, PURPOSE.evaluation, index) },
    answer: (request, at) => {
      const reply = replies[at];
      if (reply === undefined)
        throw failed(play, `the agent asks ${at + 1} times, and validate gives ${replies.length}`);
      return idsOfReply(reply, request, language);
    },
  });
  const { isSuccess, outcome, components } = await scoreEpisode(environment, trace);
  if (isSuccess) return;
  const said = Object.entries(components).map(([name, value]) => `${name} ${value}`);
  throw failed(play, `outcome ${outcome}: ${said.join(", ")}`);
}

function failed<Task>(
  {
    environment: { name, taskId },
    task,
    index,
    replies,
  }: {
    readonly environment: Environment<Task>;
    readonly task: Task;
    readonly index: number;
    readonly replies: readonly WrittenReply[];
  },
  got: string,
): ForgeError {
  return new ForgeError({
    code: "environment_failed",
    what: `environment "${name}": the right answer to task ${taskId(task, index)} is no success.`,
    got,
    why: `validate answered ${JSON.stringify(replies).slice(0, 300)}`,
    fix: "mend the rewards, isSuccess, or what validate gives",
  });
}

function isList(given: WrittenReply | readonly WrittenReply[]): given is readonly WrittenReply[] {
  return Array.isArray(given);
}
