/**
 * Adapters as PEFT's directories: adapter_config.json, and adapter_model.safetensors with the tensors
 * `base_model.model.<module>.lora_A.weight` [r, inputs] and `….lora_B.weight` [outputs, r].
 * Source: `peft/tuners/lora/config.py` and `peft/utils/save_and_load.py` of PEFT 0.21.
 */
import { ForgeError } from "../error.ts";
import type { ByteSource } from "./byte-source.ts";
import type { CausalLM } from "./causal-lm.ts";
import type { HfConfig } from "./config.ts";
import { FAMILIES } from "./families.ts";
import { fileInvalid, quote } from "./file-invalid.ts";
import { firstNonFinite, toF32 } from "./float-formats.ts";
import { checkBase, LoraModel } from "./lora.ts";
import {
  defaultTargets,
  type LoraConfig,
  type LoraTarget,
  loraProblem,
  loraTargets,
} from "./lora-targets.ts";
import { jsonOf } from "./model-files.ts";
import {
  type FloatDType,
  isFloatDType,
  readSafetensorsHeader,
  type SafetensorsEntry,
  type SafetensorsHeader,
} from "./safetensors.ts";
import { type SafetensorsTensor, safetensorsParts } from "./safetensors-writer.ts";
import { encoded, jsonFile, type ModelFile } from "./save.ts";
import type { CheckpointFiles } from "./shards.ts";

const CONFIG = "adapter_config.json";
const WEIGHTS = "adapter_model.safetensors";

/** The fields of adapter_config.json that say what a {@link LoraConfig} does. */
const FIELDS = {
  rank: "r",
  alpha: "lora_alpha",
  targets: "target_modules",
  rankPattern: "rank_pattern",
  alphaPattern: "alpha_pattern",
  useRslora: "use_rslora",
} as const satisfies Record<keyof LoraConfig, string>;

/**
 * What fields may be besides absent, `null`, `false` and empty: they say where an adapter comes from, how it was trained
 * (dropout works in training only) or how PEFT stores the base. Every other field changes what an adapter does.
 */
const HARMLESS: Readonly<Record<string, (value: unknown) => boolean>> = {
  peft_type: (v) => v === "LORA",
  task_type: (v) => v === "CAUSAL_LM",
  bias: (v) => v === "none",
  // PiSSA, OLoRA, CorDA, LoftQ and LoRA-GA change the base when they start
  init_lora_weights: (v) => v === true || v === "gaussian" || v === "orthogonal" || v === "eva",
  ...Object.fromEntries(
    [
      ...Object.values(FIELDS),
      ...["lora_dropout", "fan_in_fan_out", "inference_mode", "auto_mapping", "eva_config"],
      ...["base_model_name_or_path", "revision", "peft_version", "runtime_config"],
      ...["megatron_core", "qalora_group_size"],
    ].map((field) => [field, () => true]),
  ),
};

/**
 * The model with the adapters of a PEFT directory. Dropout is 0: it works in training only, and goes on without it.
 *
 * Errors    `file_invalid`; `config_invalid`, naming the field, for settings that make no sense or are not built;
 *           `checkpoint_invalid`, naming file and tensor, for one that is missing, has another shape, is no float, holds
 *           NaN or infinity, or belongs to no adapter; `argument_invalid` for a model with adapters.
 */
export async function loadLora(base: CausalLM, files: CheckpointFiles): Promise<LoraModel> {
  checkBase("loadLora", base);
  const json = await jsonOf(files, CONFIG);
  if (!json) throw missing(CONFIG);
  const config = readConfig(json, base);
  const source = await files.open(WEIGHTS);
  if (!source) throw missing(WEIGHTS);
  const header = await readSafetensorsHeader(source);
  const targets = loraTargets(base, config);
  if (targets.length === 0)
    throw unusable("target_modules", json, "no linear module has such a name");
  const shapes = new Map(
    targets.flatMap(({ name, layer, rank, columns }) => [
      [tensorName(name, "A"), [rank, layer.weight.shape[0] as number]],
      [tensorName(name, "B"), [columns, rank]],
    ]),
  );
  const values = new Map<string, Float32Array>();
  for (const entry of checkedEntries(source.name, header, shapes))
    values.set(entry.name, await readMatrix(source, entry));
  const matrix = (module: string, letter: "A" | "B"): Float32Array =>
    values.get(tensorName(module, letter)) as Float32Array;
  const matrices = ({ name }: LoraTarget) => ({ a: matrix(name, "A"), b: matrix(name, "B") });
  return new LoraModel(base, config, matrices, { config: json, header });
}

/** Options of {@link loraFiles}. */
export interface LoraFilesOptions {
  /** What the matrices are written in. Default: what each was read in, `F32` for new ones. */
  readonly dtype?: FloatDType;
  /** Directory or hub id of the base, for PEFT's `AutoPeftModel`. Default: what was read, else none. */
  readonly baseName?: string;
}

/**
 * The files of a PEFT directory. Adapters that were read keep their order, names and dtypes: untouched ones are the same to
 * the byte.
 *
 * Errors    while parts are read: `non_finite` for matrices that the dtype cannot hold.
 */
export function loraFiles(policy: LoraModel, options: LoraFilesOptions = {}): ModelFile[] {
  const tensors = new Map(matricesOf(policy).map((m) => [m.name, m]));
  const { entries, metadata = { format: "pt" } } = policy.origin?.header ?? {};
  const order = entries ? [...entries.keys()] : [...tensors.keys()].sort();
  const writable = order.map((name): SafetensorsTensor => {
    const { shape, read } = tensors.get(name) as Matrix;
    const dtype = options.dtype ?? (entries?.get(name)?.dtype as FloatDType | undefined) ?? "F32";
    async function* bytes(): AsyncGenerator<Uint8Array> {
      yield encoded(await read(), dtype, name, WEIGHTS);
    }
    return { name, shape, dtype, bytes };
  });
  return [
    jsonFile(CONFIG, savedConfig(policy, options)),
    { name: WEIGHTS, parts: safetensorsParts(writable, metadata) },
  ];
}

function savedConfig(
  { lora, family, origin }: LoraModel,
  { baseName }: LoraFilesOptions,
): HfConfig {
  const named = baseName === undefined ? {} : { base_model_name_or_path: baseName };
  if (origin) return { ...origin.config, ...named };
  return {
    ...{ peft_type: "LORA", task_type: "CAUSAL_LM", base_model_name_or_path: null, ...named },
    ...Object.fromEntries(
      Object.entries(FIELDS).map(([key, field]) => [field, lora[key as keyof LoraConfig]]),
    ),
    ...{ lora_dropout: 0, bias: "none", init_lora_weights: true, inference_mode: true },
    fan_in_fan_out: !FAMILIES[family].names.isTransposed,
  };
}

/** A matrix of a module, and its values. */
interface Matrix {
  readonly name: string;
  readonly shape: readonly number[];
  read(): Promise<Float32Array>;
}

function matricesOf({ adapters }: LoraModel): Matrix[] {
  return adapters.flatMap(({ name, layer: { adapter }, part }) => {
    const { a, parts } = adapter;
    const [b, inputs] = [adapter.b[part], a.shape[1]] as [(typeof adapter.b)[number], number];
    const first = parts.slice(0, part).reduce((rows, p) => rows + p.rank, 0);
    const rank = parts[part]?.rank as number;
    return [
      {
        name: tensorName(name, "A"),
        shape: [rank, inputs],
        read: async () => {
          const all = (await a.read()) as Float32Array;
          return all.slice(first * inputs, (first + rank) * inputs);
        },
      },
      {
        name: tensorName(name, "B"),
        shape: b.shape,
        read: async () => (await b.read()) as Float32Array,
      },
    ];
  });
}

function tensorName(module: string, matrix: "A" | "B"): string {
  return `base_model.model.${module}.lora_${matrix}.weight`;
}

function readConfig(json: HfConfig, { family }: CausalLM): LoraConfig {
  for (const [field, value] of Object.entries(json)) {
    const isHarmless = Object.hasOwn(HARMLESS, field) && HARMLESS[field]?.(value);
    if (!isOff(value) && !isHarmless) throw unusable(field, json, "it is not built");
  }
  const given = (key: keyof LoraConfig, fallback: unknown): unknown =>
    json[FIELDS[key]] ?? fallback;
  // anything, until loraProblem has seen it
  const config = {
    rank: given("rank", 8),
    alpha: given("alpha", 8),
    targets: given("targets", defaultTargets(family)),
    rankPattern: given("rankPattern", {}),
    alphaPattern: given("alphaPattern", {}),
    useRslora: given("useRslora", false),
  } as LoraConfig;
  const problem = loraProblem(config);
  if (problem) throw unusable(FIELDS[problem[0]], json, problem[1]);
  return config;
}

/** Whether a field asks for nothing. */
function isOff(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return Object.keys(value).length === 0;
  return value === null || value === undefined || value === false;
}

/** The tensors of a file. Errors: `checkpoint_invalid` unless they are those of the adapters. */
function checkedEntries(
  file: string,
  { entries }: SafetensorsHeader,
  shapes: ReadonlyMap<string, readonly number[]>,
): Iterable<SafetensorsEntry> {
  for (const [name, shape] of shapes) {
    const entry = entries.get(name);
    const why = `the model and ${CONFIG} ask for F32, F16 or BF16 [${shape.join(", ")}]`;
    if (!entry) throw mismatch(file, name, "is missing", why);
    if (isFloatDType(entry.dtype) && entry.shape.join() === shape.join()) continue;
    const got = `${entry.dtype} [${entry.shape.join(", ")}]`;
    throw mismatch(file, name, "does not fit the model", why, got);
  }
  for (const name of entries.keys()) {
    if (!shapes.has(name))
      throw mismatch(file, name, "belongs to no adapter", `${CONFIG} does not ask for it`);
  }
  return entries.values();
}

/** A matrix of the file, in one piece: adapters are small. */
async function readMatrix(source: ByteSource, entry: SafetensorsEntry): Promise<Float32Array> {
  const { name, begin, end } = entry;
  const dtype = entry.dtype as FloatDType;
  const bytes = new Uint8Array(await source.read(begin, end - begin)); // the source may change its own
  const bad = firstNonFinite(bytes, dtype);
  if (bad < 0) return toF32(bytes, dtype);
  throw mismatch(source.name, name, "cannot be used", "it holds NaN or infinity", `element ${bad}`);
}

function mismatch(
  file: string,
  tensor: string,
  what: string,
  why: string,
  got?: string,
): ForgeError {
  return new ForgeError({
    code: "checkpoint_invalid",
    what: `${file}: the tensor ${quote(tensor)} ${what}.`,
    ...(got === undefined ? {} : { got }),
    why,
    fix: "check that the adapter is one of this model, and its two files are of one training",
  });
}

function unusable(field: string, json: HfConfig, why: string): ForgeError {
  return new ForgeError({
    code: "config_invalid",
    what: `${CONFIG}: ${quote(field)} cannot be used.`,
    got: JSON.stringify(json[field])?.slice(0, 200) ?? "nothing",
    why,
    fix: "use an adapter of plain LoRA on linear layers, or merge it with PEFT first",
  });
}

function missing(file: string): ForgeError {
  return fileInvalid(file, {
    what: "it is missing.",
    why: `an adapter directory holds ${CONFIG} and ${WEIGHTS}`,
    fix: "save adapters with save_pretrained(…, safe_serialization=True)",
  });
}
