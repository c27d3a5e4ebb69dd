/** Actions drawn on the GPU: one plan and one readback for all environments. */
import {
  type Compiled,
  compile,
  type Device,
  ForgeError,
  sample,
  samplingWords,
  type Tensor,
  tensor,
} from "../../engine/index.ts";
import type { ActorCritic } from "./actor-critic.ts";

/** Options of {@link ActionSampler}. */
export interface ActionSamplerOptions {
  readonly numEnvs: number;
  /** Which random numbers: an integer from 0 to 2^32 − 1. */
  readonly seed: number;
  /** Whether the most probable action is taken always. Default false: it is drawn from the policy. */
  readonly isGreedy?: boolean;
}

/**
 * Actions of N environments. Those drawn depend on (seed, environment, step) and the policy alone, so that a run which is
 * resumed needs the number of its step, and no more.
 */
export class ActionSampler implements Disposable {
  readonly #numEnvs: number;
  readonly #draw: Compiled<[observations: Tensor, positions: Tensor], Tensor>;

  /** Errors: `argument_invalid` for a seed out of range. */
  constructor(device: Device, policy: ActorCritic, options: ActionSamplerOptions) {
    const { numEnvs, seed, isGreedy = false } = options;
    if (!(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32)) {
      throw new ForgeError({
        code: "argument_invalid",
        what: "ActionSampler: the seed is out of range.",
        got: String(seed),
        why: "the environments share a number of 64 bits with it",
        fix: "pass a whole number from 0 to 2^32 − 1",
      });
    }
    this.#numEnvs = numEnvs;
    const words = Array.from({ length: numEnvs }, (_, n) => [
      ...samplingWords({
        temperature: isGreedy ? 0 : 1,
        seed: BigInt(seed) * 2n ** 32n + BigInt(n),
      }),
    ]);
    const settings = tensor(Uint32Array.from(words.flat()), [numEnvs, words[0]?.length ?? 0]);
    const slots = tensor(Uint32Array.from({ length: numEnvs }, (_, n) => n));
    this.#draw = compile(
      (observations, positions) =>
        sample(policy.logits(observations), { slots, settings, positions }).token,
      { device, label: "act" },
    );
  }

  /**
   * Actions [N] for observations [N, D] at a step of the run.
   *
   * Errors    `shape_mismatch`; `non_finite` for logits that are NaN or infinite
   */
  async act(observations: Float32Array, step: number): Promise<Uint32Array> {
    const positions = tensor(new Uint32Array(this.#numEnvs).fill(step));
    const rows = tensor(observations, [
      this.#numEnvs,
      Math.floor(observations.length / this.#numEnvs),
    ]);
    return (await (await this.#draw(rows, positions)).read()) as Uint32Array;
  }

  [Symbol.dispose](): void {
    this.#draw[Symbol.dispose]();
  }
}
