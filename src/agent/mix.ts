/** Several environments as one: every step of training has each of them, in fixed shares. */
import { ForgeError } from "../../engine/error.ts";
import type { Environment, EpisodeContext, EpisodeTrace } from "./environment.ts";
import type { Policy } from "./policy.ts";

/** A part of a domain's training, from one of its tasks on. */
export interface MixStage<Task> {
  /** Number of the domain's task with which it begins; the first stage may begin later than the domain. */
  readonly from: number;
  /** Most tokens of an answer meanwhile, whatever is asked for. Default: no bound of its own. */
  readonly maxTokens?: number;
  /** Tasks meanwhile, gone through again and again, or by their number in the domain. Default: those of the environment. */
  readonly tasks?: readonly Task[] | ((index: number) => Task);
}

/** An environment in a mix. */
export interface MixedDomain<Task> {
  readonly environment: Environment<Task>;
  /** Whole number: of as many tasks in a row as all shares together, this many are of the domain. */
  readonly share: number;
  /** By rising `from`: a schedule of context and difficulty. Default: none. */
  readonly stages?: readonly MixStage<Task>[];
}

/** What is mixed. */
export interface MixDefinition {
  readonly name: string;
  /** By name; a name has no slash in it. */
  // biome-ignore lint/suspicious/noExplicitAny: domains have tasks of types of their own
  readonly domains: Readonly<Record<string, MixedDomain<any>>>;
}

/** A task of a mix. */
export interface MixedTask {
  readonly domain: string;
  /** As its environment has it. */
  readonly task: unknown;
  /** What people call it, after the name of the domain. */
  readonly name: string;
  /** Most tokens of an answer, by the stage that it is of. */
  readonly maxTokens?: number;
}

type Domain = MixedDomain<unknown>;

/**
 * Tasks of several environments in turn. Of Σ share tasks in a row, from any multiple of that on, each domain has exactly its
 * share, spread evenly; steps of as many groups, or a multiple, have every domain. Tasks of a domain come in their order.
 *
 * Held-out tasks are those of all domains, behind each other, without stages. Ids of tasks and names of rewards begin with
 * `<domain>/`: so do the metrics, with `<domain>/success_rate` beside them. A play is that of its environment, limits and stop
 * strings included; the mix has demonstrations where all domains have them, and is pure where all are. The time of an episode is
 * the longest that a domain allows.
 *
 * Source    MiniMax M2 report, §6.1.6: each stage mixes all domains, and their context and difficulty grow from stage to stage.
 *
 * Errors    `argument_invalid` for no domain, a name with a slash, a share that is no positive whole number, or stages out of
 *           order.
 */
export function mixEnvironments({ name, domains }: MixDefinition): Environment<MixedTask> {
  const all = Object.entries(domains) as [string, Domain][];
  checkDomains(name, all);
  const order = interleave(all.map(([, { share }]) => share));
  const at = placesOf(order, all.length);
  const domainOf = ({ domain }: MixedTask): Environment => (domains[domain] as Domain).environment;
  const timeouts = all.map(([, { environment }]) => environment.episodeTimeoutMs);
  const within = <R>(trace: EpisodeTrace<MixedTask>, see: (own: EpisodeTrace<unknown>) => R): R =>
    see({ ...trace, task: trace.task.task });
  return {
    name,
    domains: all.map(([domain]) => domain),
    train: (index) => {
      const [domain, { environment, stages = [], share }] = all[
        order[index % order.length] as number
      ] as [string, Domain];
      const turn = Math.floor(index / order.length) * share + (at[index % order.length] as number);
      return { domain, ...stagedTask(environment, stages, turn) };
    },
    trainCount: Number.POSITIVE_INFINITY,
    eval: all.flatMap(([domain, { environment }]) =>
      environment.eval.map((task, i) => ({ domain, task, name: environment.taskId(task, i) })),
    ),
    taskId: ({ domain, name: own }) => `${domain}/${own}`,
    play: (episode) => {
      const { task, policy } = episode;
      const environment = domainOf(task);
      return environment.play({
        ...episode,
        task: task.task,
        policy: limited(policy, environment, task.maxTokens),
      } satisfies EpisodeContext<unknown>);
    },
    // of each request, by its domain
    maxTokens: undefined,
    stopStrings: [],
    rewards: namespaced(all, "rewards", (domain, { score, ...rest }) => ({
      ...rest,
      score: (trace: EpisodeTrace<MixedTask>) =>
        trace.task.domain === domain ? within(trace, score) : null,
    })),
    groupRewards: namespaced(all, "groupRewards", (domain, { score, ...rest }) => ({
      ...rest,
      score: (traces: readonly EpisodeTrace<MixedTask>[]) =>
        traces[0]?.task.domain === domain
          ? score(traces.map((trace) => within(trace, (own) => own)))
          : traces.map(() => null),
    })),
    isSuccess: (trace, outcome) =>
      within(trace, (own) => domainOf(trace.task).isSuccess(own, outcome)),
    demonstration: all.every(([, { environment }]) => environment.demonstration)
      ? (task) => required(domainOf(task).demonstration)(task.task)
      : undefined,
    demonstrate: all.every(([, { environment }]) => environment.demonstrate)
      ? (turn) => required(domainOf(turn.task).demonstrate)({ ...turn, task: turn.task.task })
      : undefined,
    validate: all.every(([, { environment }]) => environment.validate)
      ? (task) => required(domainOf(task).validate)(task.task)
      : undefined,
    episodeTimeoutMs: timeouts.every((timeout) => timeout !== undefined)
      ? Math.max(...timeouts.map(Number))
      : undefined,
    isPure: all.every(([, { environment }]) => environment.isPure),
    close: async () => {
      for (const [, { environment }] of all) await environment.close();
    },
  };
}

/**
 * [Σ shares] which has each place: every one as often as its share, its places at the middles of equal parts.
 */
function interleave(shares: readonly number[]): number[] {
  return shares
    .flatMap((share, of) =>
      Array.from({ length: share }, (_, k) => ({ of, at: (k + 0.5) / share })),
    )
    .sort((a, b) => a.at - b.at || a.of - b.of)
    .map(({ of }) => of);
}

/** [places] how many of the same are before each. */
function placesOf(order: readonly number[], count: number): number[] {
  const seen = new Array<number>(count).fill(0);
  return order.map((of) => {
    const before = seen[of] as number;
    seen[of] = before + 1;
    return before;
  });
}

/** The domain's task with this number, as its stage has it. */
function stagedTask(
  environment: Environment,
  stages: readonly MixStage<unknown>[],
  turn: number,
): Omit<MixedTask, "domain"> {
  const stage = stages.findLast(({ from }) => from <= turn);
  const limit = stage?.maxTokens === undefined ? {} : { maxTokens: stage.maxTokens };
  if (!stage?.tasks) {
    const index = turn % environment.trainCount;
    const task = environment.train(index);
    return { task, name: environment.taskId(task, index), ...limit };
  }
  const { from, tasks } = stage;
  const index = typeof tasks === "function" ? turn : (turn - from) % tasks.length;
  const task = typeof tasks === "function" ? tasks(index) : tasks[index];
  // its number says nothing without the stage
  return { task, name: `from-${from}/${environment.taskId(task, index)}`, ...limit };
}

/** The policy with the limits of a domain, and of its stage. */
function limited(
  policy: Policy,
  { maxTokens, stopStrings }: Environment,
  most: number | undefined,
): Policy {
  return {
    language: policy.language,
    generate: (request) => {
      const asked = request.maxTokens ?? maxTokens ?? most;
      return policy.generate({
        stopStrings,
        ...request,
        ...(asked !== undefined && { maxTokens: Math.min(asked, most ?? asked) }),
      });
    },
  };
}

/** Components of all domains under their names. */
function namespaced<K extends "rewards" | "groupRewards", To>(
  all: readonly (readonly [string, Domain])[],
  key: K,
  to: (domain: string, component: Environment[K][string]) => To,
): Record<string, To> {
  return Object.fromEntries(
    all.flatMap(([domain, { environment }]) =>
      Object.entries(environment[key]).map(([name, component]): [string, To] => [
        `${domain}/${name}`,
        to(domain, component as Environment[K][string]),
      ]),
    ),
  );
}

/** What all domains have was looked for before. */
function required<T>(part: T | undefined): T {
  return part as T;
}

function checkDomains(name: string, all: readonly (readonly [string, Domain])[]): void {
  const refuse = (why: string, fix: string): never => {
    throw new ForgeError({
      code: "argument_invalid",
      what: `the mix "${name}" cannot be used.`,
      ...{ why, fix },
    });
  };
  if (all.length === 0) refuse("it has no domains", "give one or more");
  for (const [domain, { environment, share, stages = [] }] of all) {
    if (domain === "" || domain.includes("/"))
      refuse(`"${domain}" cannot be the name of a domain`, "give a name without a slash");
    if (!Number.isSafeInteger(share) || share < 1)
      refuse(`the share of "${domain}" is ${share}`, "give a whole number from 1");
    if (["rewards", "groupRewards"].some((key) => "success_rate" in environment[key as "rewards"]))
      refuse(`"${domain}" has a reward "success_rate"`, "rename it: the mix says how many succeed");
    stages.forEach(({ from, maxTokens, tasks }, i) => {
      const before = stages[i - 1]?.from ?? -1;
      if (!Number.isSafeInteger(from) || from <= before)
        refuse(`a stage of "${domain}" begins with task ${from}`, "give stages by rising numbers");
      if (maxTokens !== undefined && !(Number.isSafeInteger(maxTokens) && maxTokens >= 1))
        refuse(`a stage of "${domain}" has maxTokens ${maxTokens}`, "give a whole number from 1");
      if (Array.isArray(tasks) && tasks.length === 0)
        refuse(`a stage of "${domain}" has no tasks`, "give one or more, or leave them out");
    });
  }
}
