/** Models and optimizers as a checkpoint has them: all of it fits, or nothing is changed. */
import {
  type Device,
  namedParameters,
  type OptimizerState,
  type State,
} from "../../../engine/index.ts";
import type { SavedOptimizer, Trained } from "./capture.ts";
import { type Checkpoint, TENSORS_SUFFIX, type TensorFile } from "./contents.ts";
import { checkpointInvalid } from "./invalid.ts";

const FIX =
  "resume with the settings of the model and the optimizer that the checkpoint was written with";

/**
 * Gives everything that is trained the values of a checkpoint, bit for bit. Nothing is written before all of it is known to
 * fit.
 *
 * Errors    `checkpoint_invalid`, naming file and tensor, for a file or tensor that is missing, one too many, and one of
 *           another shape, dtype or kind; those of reading a file.
 */
export async function restoreTrained(
  device: Device,
  checkpoint: Checkpoint,
  { models, optimizers, optional = {} }: Trained,
): Promise<void> {
  const { path, tensors } = checkpoint;
  const names = new Set([models, optimizers, optional].flatMap((sets) => Object.keys(sets)));
  const odd = [...tensors.keys()].find((name) => !names.has(name));
  if (odd !== undefined)
    throw checkpointInvalid(path, {
      file: odd + TENSORS_SUFFIX,
      what: "belongs to nothing",
      fix: FIX,
    });
  const modelFiles = Object.entries(models).map(
    ([name, model]) => [model, fileOf(checkpoint, name)] as const,
  );
  for (const [model, file] of modelFiles) checkModel(path, file, model);
  const states: [SavedOptimizer, OptimizerState][] = [];
  const there = Object.entries(optional).filter(([name]) => tensors.has(name));
  for (const [name, optimizer] of [...Object.entries(optimizers), ...there])
    if (optimizer)
      states.push([optimizer, await readOptimizer(path, fileOf(checkpoint, name), optimizer)]);
  for (const [optimizer, state] of states) optimizer.restore(state);
  for (const [model, file] of modelFiles) await writeModel(device, file, model);
}

/**
 * Gives one model its values of a checkpoint, whatever else is in it: to evaluate or to export it.
 *
 * Errors    as {@link restoreTrained}.
 */
export async function restoreModel(
  device: Device,
  checkpoint: Checkpoint,
  name: string,
  model: object,
): Promise<void> {
  const file = fileOf(checkpoint, name);
  checkModel(checkpoint.path, file, model);
  await writeModel(device, file, model);
}

function fileOf({ path, tensors }: Checkpoint, name: string): TensorFile {
  const file = tensors.get(name);
  if (file) return file;
  const got = [...tensors.keys()].join(", ");
  throw checkpointInvalid(path, { file: name + TENSORS_SUFFIX, what: "is missing", got, fix: FIX });
}

function checkModel(path: string, file: TensorFile, model: object): void {
  checkTensors(path, file, namedParameters(model));
}

async function writeModel(device: Device, file: TensorFile, model: object): Promise<void> {
  for (const [name, state] of namedParameters(model)) {
    let at = 0;
    for await (const piece of file.pieces(name)) {
      state.write(device, piece, at);
      at += piece.length;
    }
  }
}

/** The state of an optimizer out of a file that fits it. */
async function readOptimizer(
  path: string,
  file: TensorFile,
  optimizer: SavedOptimizer,
): Promise<OptimizerState> {
  const { kind, stepCount: count, momentsSince: since } = file.metadata;
  const [stepCount, momentsSince] = [Number(count), Number(since ?? 0)];
  const isCount = Number.isSafeInteger(stepCount) && Number.isSafeInteger(momentsSince);
  const isOrdered = 0 <= momentsSince && momentsSince <= stepCount;
  if (kind !== optimizer.kind || !isCount || !isOrdered) {
    const got = `the state of ${kind} after ${count} steps, for ${optimizer.kind}`;
    const what = "is that of another optimizer";
    throw checkpointInvalid(path, { file: file.name, what, got, fix: FIX });
  }
  const keys = new Set([...file.tensors.keys()].map((name) => name.split("/", 1)[0] as string));
  const places = [...keys].flatMap((key) =>
    optimizer.parameters.map((p) => [`${key}/${p.name}`, p] as const),
  );
  checkTensors(path, file, new Map(places));
  const moments: Record<string, Record<string, Float32Array>> = {};
  for (const key of keys) {
    const arrays: Record<string, Float32Array> = {};
    for (const { name, size } of optimizer.parameters)
      arrays[name] = await readArray(file, `${key}/${name}`, size);
    moments[key] = arrays;
  }
  return { kind, stepCount, ...(momentsSince > 0 && { momentsSince }), moments };
}

async function readArray(file: TensorFile, name: string, size: number): Promise<Float32Array> {
  const array = new Float32Array(size);
  let at = 0;
  for await (const piece of file.pieces(name)) {
    array.set(piece, at);
    at += piece.length;
  }
  return array;
}

/** Errors: `checkpoint_invalid` unless the file's tensors are those of the states, by name, shape and dtype. */
function checkTensors(path: string, file: TensorFile, states: ReadonlyMap<string, State>): void {
  const refuse = (name: string, what: string, got: string): Error =>
    checkpointInvalid(path, { file: `${file.name}: the tensor "${name}"`, what, got, fix: FIX });
  for (const [name, { shape, dtype }] of states) {
    const tensor = file.tensors.get(name);
    if (!tensor) throw refuse(name, "is missing", `${file.tensors.size} tensors`);
    const isAlike = tensor.dtype === dtype.toUpperCase() && tensor.shape.join() === shape.join();
    if (isAlike) continue;
    const got = `${tensor.dtype} [${tensor.shape}] for ${dtype} [${shape}]`;
    throw refuse(name, "does not fit the model", got);
  }
  for (const [name, { dtype, shape }] of file.tensors)
    if (!states.has(name)) throw refuse(name, "belongs to nothing", `${dtype} [${shape}]`);
}
