// cartpole.ts — PPO on CartPole-v1 with the library: balances a pole on a cart, and keeps balancing it.
//
// Teaches  vectorised environments, ControlPpo, evaluation
// Needs    any WebGPU adapter
// Takes    about a minute for 200,000 steps on a software adapter (lavapipe on two cores, nothing else running)
// Expect   a mean return of 500, the most there is, over 100 episodes after 100,000 steps and after 200,000
import { parseArgs } from "node:util";
import { ControlPpo, cartPole, getDefaultDevice } from "forge-gpu";

const { values: options } = parseArgs({
  options: {
    steps: { type: "string", default: "200000" },
    seed: { type: "string", default: "1" },
    evaluations: { type: "string", default: "2" },
    help: { type: "boolean", default: false },
  },
});
const [steps, seed, evaluations] = [options.steps, options.seed, options.evaluations].map(
  Number,
) as [number, number, number];
const isValid = steps >= 256 && seed >= 0 && seed < 2 ** 32 && evaluations >= 1;
if (options.help || !isValid || ![steps, seed, evaluations].every(Number.isInteger)) {
  console.log(`Trains PPO on CartPole-v1 and plays 100 episodes with the most probable actions.

  --steps <n>         steps of all environments together, at least 256 (default 200000)
  --seed <n>          of weights, environments, actions and shuffling (default 1)
  --evaluations <n>   evenly over the run, the last at its end (default 2)`);
  process.exit(options.help ? 0 : 2);
}

const device = await getDefaultDevice();
console.log(`adapter    ${device.name}${device.isSoftware ? " (software)" : ""}`);

// The hyper-parameters of Stable-Baselines3's zoo, in CleanRL's words; rate and clipping fall to 0 over the run.
const ppo = new ControlPpo({
  ...{ device, environment: cartPole({ numEnvs: 8 }), seed, totalTimesteps: steps },
  ...{ numSteps: 32, numMinibatches: 1, updateEpochs: 20, gamma: 0.98, gaeLambda: 0.8 },
  ...{ learningRate: 1e-3, annealClip: true, clipVloss: false, entCoef: 0 },
});

/** 100 episodes, always the most probable action, as Stable-Baselines3 evaluates. */
async function evaluate(): Promise<string> {
  const played = await ppo.evaluate(cartPole({ numEnvs: 100 }), { episodes: 100 });
  const returns = played.map((episode) => episode.return);
  const mean = returns.reduce((a, b) => a + b) / returns.length;
  return `mean return ${mean.toFixed(1)} over ${returns.length} episodes, ${Math.min(...returns)} at least`;
}

const started = performance.now();
const seconds = (): string => `${((performance.now() - started) / 1000).toFixed(1)} s`;
const marks = Array.from({ length: evaluations }, (_, n) =>
  Math.floor(((n + 1) / evaluations) * ppo.numIterations),
);
const every = Math.ceil(ppo.numIterations / 20);
let recent = 0;
while (!ppo.isDone) {
  const metrics = await ppo.update();
  recent = metrics["charts/episodic_return"] ?? recent;
  if (ppo.iteration % every === 0) {
    const loss = metrics["losses/value_loss"]?.toFixed(3);
    console.log(
      `training   ${String(ppo.globalStep).padStart(6)} steps  return ${recent.toFixed(0).padStart(3)}  value loss ${loss}  ${seconds()}`,
    );
  }
  if (marks.includes(ppo.iteration)) {
    console.log(
      `evaluation ${String(ppo.globalStep).padStart(6)} steps  ${await evaluate()}  ${seconds()}`,
    );
  }
}
device[Symbol.dispose]();
