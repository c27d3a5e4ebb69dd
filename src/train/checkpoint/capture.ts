/** Models and optimizers as sets of tensors, to be written into a checkpoint. */
import { namedParameters, type Optimizer, type SafetensorsDType } from "../../../engine/index.ts";
import type { CheckpointTensor, TensorSet } from "./contents.ts";

/** What a run trains. Each has the name of its file without suffix. */
export interface Trained {
  /** Models, or any objects with parameters: `policy`, `critic`. Of one with adapters these are all that is written. */
  readonly models: Readonly<Record<string, object>>;
  /** `optimizer`, `critic-optimizer`. */
  readonly optimizers: Readonly<Record<string, SavedOptimizer>>;
  /**
   * Optimizers that a checkpoint may lack: they begin anew then. Undefined where this way of training has none, and what another
   * one has left is passed over.
   */
  readonly optional?: Readonly<Record<string, SavedOptimizer | undefined>>;
}

/** An optimizer as checkpoints see it. */
export type SavedOptimizer = Pick<Optimizer, "kind" | "parameters" | "save" | "restore">;

/**
 * Everything that is trained, as a checkpoint's tensors. Parameters are read when they are written: train no further until
 * then.
 */
export async function captureTrained(trained: Trained): Promise<Record<string, TensorSet>> {
  const sets: Record<string, TensorSet> = {};
  for (const [name, model] of Object.entries(trained.models)) sets[name] = captureModel(model);
  for (const [name, optimizer] of Object.entries({ ...trained.optimizers, ...trained.optional }))
    if (optimizer) sets[name] = await captureOptimizer(optimizer);
  return sets;
}

/** The parameters of a model by their paths, bit for bit. See {@link captureTrained}. */
export function captureModel(model: object): TensorSet {
  const tensors = [...namedParameters(model)].map(
    ([name, state]): CheckpointTensor => ({
      name,
      dtype: state.dtype.toUpperCase() as SafetensorsDType,
      shape: state.shape,
      data: () => state.read(),
    }),
  );
  return { tensors };
}

/**
 * An optimizer's arrays as `m/<parameter>` and so on, on the host from now on, and its step counts.
 *
 * Errors    those of `Optimizer.save`.
 */
export async function captureOptimizer(optimizer: SavedOptimizer): Promise<TensorSet> {
  const { kind, stepCount, momentsSince, moments } = await optimizer.save();
  const shapes = new Map(optimizer.parameters.map(({ name, shape }) => [name, shape]));
  const tensors = Object.entries(moments).flatMap(([moment, arrays]) =>
    Object.entries(arrays).map(
      ([name, data]): CheckpointTensor => ({
        name: `${moment}/${name}`,
        dtype: "F32",
        shape: shapes.get(name) as readonly number[],
        data: () => data,
      }),
    ),
  );
  const since = momentsSince === undefined ? {} : { momentsSince: String(momentsSince) };
  return { tensors, metadata: { kind, stepCount: String(stepCount), ...since } };
}
