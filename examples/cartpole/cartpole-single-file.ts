// cartpole-single-file.ts — PPO on CartPole-v1 with the engine alone: environment, rollout, GAE and update in one file.
//
// Teaches  the whole of PPO in the order in which it happens, after CleanRL's ppo.py; step for step what cartpole.ts does
// Needs    any WebGPU adapter
// Takes    about a minute for 200,000 steps on a software adapter (lavapipe on two cores, nothing else running)
// Expect   a mean return of 500, the most there is, over 100 episodes at the end
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import {
  AdamW,
  add,
  compile,
  type Device,
  exp,
  getDefaultDevice,
  grad,
  Linear,
  logSoftmax,
  maximum,
  mul,
  orthogonalInit,
  parametersOf,
  Random,
  type State,
  sample,
  samplingWords,
  sub,
  type Tensor,
  takeAlongAxis,
  tensor,
} from "forge-gpu/engine";

// ── Hyper-parameters: those of Stable-Baselines3's zoo, in CleanRL's words ──

const NUM_ENVS = 8;
const NUM_STEPS = 32; // of each environment in a rollout
const BATCH = NUM_ENVS * NUM_STEPS; // steps of a rollout, all in one minibatch
const UPDATE_EPOCHS = 20;
const LEARNING_RATE = 1e-3; // falls to 0 over the run
const CLIP_COEF = 0.2; // likewise
const GAMMA = 0.98;
const GAE_LAMBDA = 0.8;
const VF_COEF = 0.5;
const MAX_GRAD_NORM = 0.5;

// ── The environment: CartPole-v1 in f64, `count` of them ──

/** A seed for each list of words. Source: the finalizer of MurmurHash3. */
function seedOf(...words: readonly number[]): number {
  return words.reduce((hash, word) => {
    let h = Math.imul(hash ^ word, 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    return (h ^ (h >>> 16)) >>> 0;
  }, 0x9e3779b9);
}

/** Position, velocity, angle, angular velocity, and how the episode came there. */
interface Cart {
  state: readonly number[];
  steps: number;
  episode: number;
}

class CartPoles {
  readonly carts: readonly Cart[];
  readonly #seed: number;

  constructor(count: number, seed: number) {
    this.#seed = seed;
    this.carts = Array.from({ length: count }, (_, n) => this.#begin(n, 0));
  }

  /** [N, 4] */
  observe(): Float32Array {
    return Float32Array.from(this.carts.flatMap((cart) => [...cart.state]));
  }

  /** Pushes a cart to the left (0) or to the right (1): a reward of 1, whatever comes of it. */
  step(n: number, action: number): { terminated: boolean; truncated: boolean } {
    const cart = this.carts[n] as Cart;
    const [x, velocity, angle, turn] = cart.state as [number, number, number, number];
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    const force = action === 1 ? 10 : -10;
    const [mass, poleMass, length] = [1.1, 0.1, 0.5];
    const push = (force + poleMass * length * (turn * turn) * sin) / mass;
    const turnRate =
      (9.8 * sin - cos * push) / (length * (4 / 3 - (poleMass * (cos * cos)) / mass));
    const acceleration = push - (poleMass * length * turnRate * cos) / mass;
    const tau = 0.02; // seconds
    cart.state = [
      x + tau * velocity,
      velocity + tau * acceleration,
      angle + tau * turn,
      turn + tau * turnRate,
    ];
    cart.steps++;
    const [position, , tilt] = cart.state as [number, number, number, number];
    const terminated = Math.abs(position) > 2.4 || Math.abs(tilt) > (12 * 2 * Math.PI) / 360;
    return { terminated, truncated: cart.steps >= 500 };
  }

  /** Begins the next episode of a cart. */
  reset(n: number): void {
    const cart = this.carts[n] as Cart;
    Object.assign(cart, this.#begin(n, cart.episode + 1));
  }

  #begin(n: number, episode: number): Cart {
    const random = new Random(seedOf(this.#seed, n, episode));
    const state = Array.from({ length: 4 }, () => 0.1 * random.uniform() - 0.05);
    return { state, steps: 0, episode };
  }
}

// ── The agent: two perceptrons that share nothing ──

class Agent {
  readonly actor: readonly Linear[];
  readonly critic: readonly Linear[];

  constructor(random: Random) {
    const layer = (inputs: number, outputs: number, gain: number): Linear =>
      new Linear(random, { inputs, outputs, init: orthogonalInit(gain) });
    const hidden = (): Linear[] => [layer(4, 64, Math.SQRT2), layer(64, 64, Math.SQRT2)];
    this.actor = [...hidden(), layer(64, 2, 0.01)];
    this.critic = [...hidden(), layer(64, 1, 1)];
  }

  /** [M, 4] → [M, 2] */
  logits(x: Tensor): Tensor {
    return this.actor.reduce((y, layer, i) => layer.forward(i === 0 ? y : y.tanh()), x);
  }

  /** [M, 4] → [M] */
  values(x: Tensor): Tensor {
    return this.critic.reduce((y, layer, i) => layer.forward(i === 0 ? y : y.tanh()), x).squeeze(1);
  }
}

/** Draws actions of N environments; `step` tells the random numbers of one step from those of the next. */
function actor(
  device: Device,
  agent: Agent,
  options: { readonly count: number; readonly seed: number; readonly temperature: number },
): (observations: Float32Array, step: number) => Promise<ArrayLike<number>> {
  const { count, seed, temperature } = options;
  const settings = Array.from({ length: count }, (_, n) => [
    ...samplingWords({ temperature, seed: BigInt(seed) * 2n ** 32n + BigInt(n) }),
  ]);
  const words = tensor(Uint32Array.from(settings.flat()), [count, 8]);
  const slots = tensor(Uint32Array.from({ length: count }, (_, n) => n));
  const draw = compile(
    (x: Tensor, positions: Tensor) =>
      sample(agent.logits(x), { slots, settings: words, positions }).token,
    { device, label: "act" },
  );
  return async (observations, step) => {
    const positions = tensor(new Uint32Array(count).fill(step));
    return (await draw(tensor(observations, [count, 4]), positions)).read();
  };
}

// ── Training ──

/** What an update leaves: metrics of its last step, and returns of the episodes that ended. */
export interface Update {
  readonly globalStep: number;
  readonly loss: number;
  readonly valueLoss: number;
  readonly returns: readonly number[];
  readonly agent: Agent;
  readonly parameters: readonly State[];
}

/** Trains an agent, and yields after every update. */
export async function* train(
  device: Device,
  seed: number,
  totalTimesteps: number,
): AsyncGenerator<Update> {
  const numIterations = Math.floor(totalTimesteps / BATCH);
  const agent = new Agent(new Random(seed));
  let learningRate = LEARNING_RATE;
  const optimizer = new AdamW(device, parametersOf(agent), {
    lr: () => learningRate,
    eps: 1e-5,
    clipNorm: MAX_GRAD_NORM,
  });

  const logprobOf = (logprobs: Tensor, actions: Tensor): Tensor =>
    takeAlongAxis(logprobs, actions.unsqueeze(1)).squeeze(1);
  const logprobs = compile(
    (x: Tensor, actions: Tensor) => logprobOf(logSoftmax(agent.logits(x)), actions),
    { device, label: "logprobs" },
  );
  const values = compile((x: Tensor) => agent.values(x), { device, label: "values" });
  const act = actor(device, agent, { count: NUM_ENVS, seed, temperature: 1 });

  type Minibatch = Record<
    "observations" | "actions" | "oldLogprobs" | "advantages" | "returns",
    Tensor
  >;
  const step = compile(
    (batch: Minibatch, clip: Tensor) => {
      const { observations, actions, oldLogprobs, advantages, returns } = batch;
      const [logits, value] = [agent.logits(observations), agent.values(observations)];
      const all = logSoftmax(logits);
      const logRatio = logprobOf(all, actions).sub(oldLogprobs);
      const ratio = exp(logRatio);
      const clipped = ratio.clamp(sub(1, clip), add(1, clip));
      const policyLoss = maximum(
        mul(advantages, ratio).neg(),
        mul(advantages, clipped).neg(),
      ).mean();
      const valueLoss = value.sub(returns).square().mean().mul(0.5);
      const loss = policyLoss.add(valueLoss.mul(VF_COEF));
      const { gradNorm } = optimizer.step(grad(loss, optimizer.parameters));
      return {
        ...{ loss, policyLoss, valueLoss, gradNorm },
        entropy: mul(exp(all), all).sum(1).neg().mean(),
        oldApproxKl: logRatio.neg().mean(),
        approxKl: ratio.sub(1).sub(logRatio).mean(),
        clipFraction: ratio.sub(1).abs().greater(clip).cast("f32").mean(),
      };
    },
    { device, label: "ppo step" },
  );

  const environment = new CartPoles(NUM_ENVS, seed);
  for (let iteration = 0; iteration < numIterations; iteration++) {
    const left = 1 - iteration / numIterations;
    learningRate = left * LEARNING_RATE;

    // Rollout: row t · NUM_ENVS + n is step t of environment n. The last observations are those to act on next.
    const observations = new Float32Array((BATCH + NUM_ENVS) * 4);
    const actions = new Uint32Array(BATCH);
    const ends: boolean[] = [];
    const cutOff = new Map<number, readonly number[]>();
    const returns: number[] = [];
    for (let t = 0; t < NUM_STEPS; t++) {
      const observed = environment.observe();
      observations.set(observed, t * observed.length);
      const chosen = await act(observed, iteration * NUM_STEPS + t);
      actions.set(chosen, t * NUM_ENVS);
      for (const [n, cart] of environment.carts.entries()) {
        const { terminated, truncated } = environment.step(n, chosen[n] as number);
        ends.push(terminated || truncated);
        if (truncated && !terminated) cutOff.set(t * NUM_ENVS + n, cart.state);
        if (!terminated && !truncated) continue;
        returns.push(cart.steps);
        environment.reset(n);
      }
    }
    observations.set(environment.observe(), BATCH * 4);

    // What the networks say of it, all at once: they have not changed meanwhile.
    const rows = (x: Float32Array): Tensor => tensor(x, [x.length / 4, 4]);
    const acted = observations.subarray(0, BATCH * 4);
    const oldLogprobs = await (await logprobs(rows(acted), tensor(actions))).read();
    const oldValues = await (await values(rows(observations))).read();

    // An episode that was cut off is worth what the critic expects from there.
    const rewards = new Float64Array(BATCH).fill(1);
    if (cutOff.size > 0) {
      const last = new Float32Array(observations.length);
      last.set([...cutOff.values()].flat());
      const expected = await (await values(rows(last))).read();
      [...cutOff.keys()].forEach((row, i) => {
        rewards[row] = 1 + GAMMA * (expected[i] as number);
      });
    }

    // Generalised advantage estimation, backwards in time.
    const advantages = new Float64Array(BATCH);
    for (let row = BATCH - 1; row >= 0; row--) {
      const goesOn = ends[row] ? 0 : 1;
      const next = oldValues[row + NUM_ENVS] as number;
      const delta = (rewards[row] as number) + GAMMA * next * goesOn - (oldValues[row] as number);
      advantages[row] = delta + GAMMA * GAE_LAMBDA * goesOn * (advantages[row + NUM_ENVS] ?? 0);
    }

    // Epochs of one shuffled minibatch each. Advantages get mean 0 and standard deviation 1.
    let last: Awaited<ReturnType<typeof step>> | undefined;
    for (let epoch = 0; epoch < UPDATE_EPOCHS; epoch++) {
      const order = shuffled(BATCH, new Random(seedOf(seed, 1, iteration, epoch)));
      const column = (of: (row: number) => number): Tensor => tensor(Float32Array.from(order, of));
      const scaled = normalized(Array.from(order, (row) => advantages[row] as number));
      last = await step(
        {
          observations: rows(
            Float32Array.from(
              [...order].flatMap((row) => [...observations.subarray(4 * row, 4 * row + 4)]),
            ),
          ),
          actions: tensor(order.map((row) => actions[row] as number)),
          oldLogprobs: column((row) => oldLogprobs[row] as number),
          advantages: tensor(Float32Array.from(scaled)),
          returns: column((row) => (advantages[row] as number) + (oldValues[row] as number)),
        },
        tensor(Float32Array.of(left * CLIP_COEF), []),
      );
    }
    if (!last) return;
    yield {
      ...{ globalStep: (iteration + 1) * BATCH, returns, agent },
      loss: await last.loss.item(),
      valueLoss: await last.valueLoss.item(),
      parameters: optimizer.parameters,
    };
  }
}

/** Numbers from 0 to `count` − 1 in random order (Fisher & Yates). */
function shuffled(count: number, random: Random): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = random.integer(i + 1);
    [order[i], order[j]] = [order[j] as number, order[i] as number];
  }
  return order;
}

/** (x − mean) / (std + 1e-8); sums are taken around the first value, so that equal ones come out as exactly 0. */
function normalized(x: readonly number[]): number[] {
  const first = x[0] as number;
  const mean = first + x.reduce((sum, value) => sum + (value - first), 0) / x.length;
  const squares = x.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const std = Math.sqrt(squares / (x.length - 1));
  return x.map((value) => (value - mean) / (std + 1e-8));
}

/** Returns of the first episode of each of `count` environments, with the most probable action always. */
async function evaluate(
  device: Device,
  agent: Agent,
  count: number,
  seed: number,
): Promise<number[]> {
  const environment = new CartPoles(count, seed);
  const act = actor(device, agent, { count, seed, temperature: 0 });
  const returns = new Map<number, number>();
  for (let t = 0; returns.size < count; t++) {
    const actions = await act(environment.observe(), t);
    for (const [n, cart] of environment.carts.entries()) {
      const { terminated, truncated } = environment.step(n, actions[n] as number);
      if ((terminated || truncated) && !returns.has(n)) returns.set(n, cart.steps);
    }
  }
  return [...returns.values()];
}

async function main(): Promise<void> {
  const { values: options } = parseArgs({
    options: {
      steps: { type: "string", default: "200000" },
      seed: { type: "string", default: "1" },
      help: { type: "boolean", default: false },
    },
  });
  const [steps, seed] = [Number(options.steps), Number(options.seed)];
  const isValid = steps >= BATCH && seed >= 0 && seed < 2 ** 32;
  if (options.help || !isValid || ![steps, seed].every(Number.isInteger)) {
    console.log(`Trains PPO on CartPole-v1 and plays 100 episodes with the most probable actions.

  --steps <n>   steps of all environments together, at least ${BATCH} (default 200000)
  --seed <n>    of weights, environments, actions and shuffling (default 1)`);
    process.exit(options.help ? 0 : 2);
  }
  const device = await getDefaultDevice();
  console.log(`adapter    ${device.name}${device.isSoftware ? " (software)" : ""}`);
  const started = performance.now();
  const seconds = (): string => `${((performance.now() - started) / 1000).toFixed(1)} s`;
  const mean = (x: readonly number[]): number => x.reduce((a, b) => a + b) / x.length;
  const every = Math.ceil(steps / BATCH / 20);
  let recent = 0;
  let agent: Agent | undefined;
  for await (const update of train(device, seed, steps)) {
    agent = update.agent;
    if (update.returns.length > 0) recent = mean(update.returns);
    if ((update.globalStep / BATCH) % every !== 0) continue;
    console.log(
      `training   ${String(update.globalStep).padStart(6)} steps  return ${recent.toFixed(0).padStart(3)}  value loss ${update.valueLoss.toFixed(3)}  ${seconds()}`,
    );
  }
  if (agent) {
    const returns = await evaluate(device, agent, 100, seedOf(seed, 2));
    console.log(
      `evaluation mean return ${mean(returns).toFixed(1)} over ${returns.length} episodes, ${Math.min(...returns)} at least  ${seconds()}`,
    );
  }
  device[Symbol.dispose]();
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === import.meta.filename)
  await main();
