/** A run on disk as a long training with tools would leave it, without the training. */
import { RunDirectory } from "../../src/train/run/run-directory.ts";
import { randoms } from "./gpu.ts";

/** What the run is to hold. */
export interface SyntheticRun {
  readonly name: string;
  readonly steps: number;
  readonly rolloutsPerStep: number;
  readonly seed: number;
  readonly lr?: number;
  /** Steps that the configuration asks for; more than there are makes an interrupted run. */
  readonly planned?: number;
}

const GROUP = 8;

/** Writes the run, which stays open: a live one until it is closed. */
export async function syntheticRun(
  runs: string,
  { name, steps, rolloutsPerStep, seed, lr = 3e-4, planned = steps }: SyntheticRun,
): Promise<RunDirectory> {
  const random = randoms(seed);
  const run = RunDirectory.create(runs, {
    ...{ name, seed, version: "0.1.0", isDeterministic: true, nondeterminism: [] },
    adapter: { name: "llvmpipe", isSoftware: true },
    config: {
      ...{ name, method: "rl", seed, environment: "environment calculator" },
      train: { steps: planned },
      optimizer: { lr, maxGradNorm: 1 },
      rollout: { groupSize: GROUP, groupsPerStep: rolloutsPerStep / GROUP },
      algorithm: { name: "forge" },
    },
  });
  await run.writeMetrics(0, { "eval/pass_at_1": 0.31, "eval/reward_mean": 0.3 });
  for (let step = 1; step <= steps; step++) {
    const skill = 0.3 + 0.65 * (1 - Math.exp((-3 * step) / steps));
    const noise = (size: number): number => size * (random.next() - 0.5);
    await run.writeMetrics(step, {
      "reward/mean": skill + noise(0.1),
      "reward/std": 0.3 * (1 - skill),
      "reward/min": -0.5 + skill / 2,
      "reward/max": 1,
      "reward/right": skill + noise(0.1),
      "reward/format": -0.3 * (1 - skill) + noise(0.02),
      "rollout/success_rate": skill + noise(0.1),
      "rollout/groups": rolloutsPerStep / GROUP,
      "rollout/zero_variance_groups": step > steps / 2 ? (rolloutsPerStep / GROUP) * 0.6 : 1,
      "rollout/response_length_mean": 30 - 10 * skill + noise(2),
      "rollout/response_length_max": 48,
      "rollout/truncated_rate": 0.1 * (1 - skill),
      "losses/entropy": 1.6 * (1 - skill) + 0.05,
      "losses/loss": noise(0.02),
      "losses/approx_kl": 0.01 + noise(0.01),
      "losses/grad_norm": 0.5 + random.next(),
      "losses/clip_fraction": 0.05 + noise(0.02),
      "mismatch/kl": 1e-9 * (1 + random.next()),
      "mismatch/max_abs": 1e-6 * (1 + random.next()),
      "charts/learning_rate": lr,
      "charts/tokens": 2000 * step,
      "yield/throughput": 1500 + noise(300),
      "time/step_ms": 900 + noise(200),
      "time/rollout_ms": 500 + noise(100),
      "time/train_ms": 300 + noise(50),
      ...(step % 10 === 0 && { "eval/pass_at_1": skill, "eval/reward_mean": skill }),
    });
    run.writeRollouts(step, rolloutsOf(step, rolloutsPerStep, skill, random));
  }
  return run;
}

function rolloutsOf(
  step: number,
  count: number,
  skill: number,
  random: ReturnType<typeof randoms>,
): object[] {
  return Array.from({ length: count }, (_, i) => {
    const group = Math.floor(i / GROUP);
    const [a, b] = [(17 * step + 31 * group) % 997, (7 * step + 13 * group) % 991];
    const isSuccess = random.next() < skill;
    const answer = isSuccess ? a * b : a * b + 1 + Math.floor(9 * random.next());
    const isMalformed = random.next() > 0.9;
    const question = `<user>What is ${a} times ${b}?<assistant>`;
    const call = `<call>calculator ${a}*${b}<eos>`;
    const result = `<tool>${isMalformed ? "error: the input fits no schema" : a * b}<assistant>`;
    const reward = (isSuccess ? 1 : 0) - (isMalformed ? 0.25 : 0);
    return {
      group: step * 1000 + group,
      session: `${step}-${group}-${i % GROUP}`,
      task: `${a} × ${b}`,
      status: random.next() > 0.97 ? "truncated" : "completed",
      takesPart: true,
      isSuccess,
      reward,
      components: { right: isSuccess ? 1 : 0, format: isMalformed ? -1 : 0, speed: null },
      turns: [
        turnOf(0, question, call, random, reward - skill),
        turnOf(1, `${question}${call}${result}`, `It is ${answer}.<eos>`, random, reward - skill),
      ],
      toolCalls: [
        {
          ...{ requestIndex: 0, role: "main", name: "calculator", isCut: false, ms: 0.4 },
          input: { expression: `${a}*${b}` },
          status: isMalformed ? "invalid_input" : "ok",
          content: isMalformed ? "error: the input fits no schema" : String(a * b),
        },
      ],
    };
  });
}

function turnOf(
  request: number,
  prompt: string,
  response: string,
  random: ReturnType<typeof randoms>,
  advantage: number,
): object {
  const responseTokens = response.match(/<\w+>|\w{1,3}|\s?./gsu) ?? [];
  const of = (value: () => number): number[] =>
    responseTokens.map(() => Math.round(value() * 1e5) / 1e5);
  const rolloutLogprobs = of(() => Math.log(1 - random.next() ** 3 + 1e-4));
  return {
    ...{ request, role: "main", parent: request === 0 ? null : request - 1 },
    policyVersions: [0, 0],
    ...{ finishReason: "stop", reward: 0, prompt, response, responseTokens },
    promptIds: [...prompt].map((c) => c.charCodeAt(0)),
    responseIds: responseTokens.map((text) => text.charCodeAt(0)),
    rolloutLogprobs,
    trainerLogprobs: rolloutLogprobs,
    entropies: of(() => 2 * random.next() ** 3),
    advantages: of(() => advantage * (0.5 + random.next())),
  };
}
