/** Models with the shape, or the weights, of another. */
import type { Device } from "../gpu/device.ts";
import { namedStates } from "../nn/module.ts";
import { Random } from "../nn/random.ts";
import { Transformer } from "../nn/transformer.ts";
import { CausalLM } from "./causal-lm.ts";

/**
 * A model of its own with the weights that another has now: a reference that stays where it is while the policy moves on.
 * Adapters are not copied; of a model that has some, copy its base or what `mergeLora` gives.
 */
export function copyModel(device: Device, model: CausalLM): CausalLM {
  const copy = new CausalLM(model.family, emptyLike(model), originOf(model));
  const own = namedStates(copy.transformer);
  for (const [path, state] of namedStates(model.transformer))
    own.get(path)?.copyFrom(device, state);
  for (const [path, state] of namedStates(model.transformer)) {
    const mine = own.get(path);
    if (mine && model.changed.has(state)) copy.changed.add(mine);
  }
  return copy;
}

/** A decoder of the same shape, none of whose states is allocated before it is used. */
export function emptyLike(model: CausalLM): Transformer {
  return new Transformer(new Random(0), { ...model.options, init: () => 0 });
}

/** What a copy keeps of where a model came from. */
export function originOf({
  config,
  checkpoint,
}: CausalLM): ConstructorParameters<typeof CausalLM>[2] {
  return checkpoint ? { config, checkpoint } : { config };
}
