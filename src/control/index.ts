/** PPO for ordinary control: environments on the host, networks on the GPU. */
export { ActionSampler, type ActionSamplerOptions } from "./action-sampler.ts";
export { ActorCritic, type ActorCriticOptions } from "./actor-critic.ts";
export { type CartPoleOptions, type CartPoleState, cartPole } from "./cart-pole.ts";
export {
  type ControlEvaluationOptions,
  ControlPpo,
  type ControlPpoOptions,
  type ControlPpoState,
} from "./control-ppo.ts";
export type { EpisodeRecord, OpenEpisodes } from "./episode-statistics.ts";
export type { ControlPpoSettings } from "./ppo-options.ts";
export type { VectorEnvironment, VectorStep } from "./vector-environment.ts";
