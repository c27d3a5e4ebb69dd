/**
 * The kernels of forest attention: which there are, where each runs, how it is expanded, dispatched and parametrised.
 *
 * A forward is `forest` (once per batch: it depends on the forest only), then `forward`. A backward is `delta`, then
 * `dquery` and `dkeyvalue`, in any order. All take the same {@link AttentionParams}.
 */

/** What the choice of a variant depends on, of the device. */
export interface AttentionDevice {
  readonly isSoftware: boolean;
  /** Lanes of a subgroup where subgroup operations are on and the size is fixed, else undefined. */
  readonly subgroupSize: number | undefined;
  readonly workgroupStorageBytes: number;
}

/** What kernels are expanded and dispatched for. */
export interface AttentionShape {
  readonly tokens: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly hasWindow: boolean;
  readonly hasSoftcap: boolean;
}

/** Where an operand [tokens, heads, headDim] lies in its buffer, in elements; both must be multiples of 4. */
export interface AttentionOperand {
  readonly offset: number;
  /** Distance from one token to the next; heads of a token are contiguous. */
  readonly stride: number;
}

/** The uniform of every attention kernel; operands that a kernel does not bind may be left out. */
export interface AttentionParams {
  readonly tokens: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** A query sees keys less than this many tokens above it; 0 = all. */
  readonly window: number;
  readonly scale: number;
  /** Scores become softcap · tanh(score / softcap); 0 = off. */
  readonly softcap: number;
  readonly q?: AttentionOperand;
  readonly k?: AttentionOperand;
  readonly v?: AttentionOperand;
  readonly out?: AttentionOperand;
  readonly dout?: AttentionOperand;
  readonly dq?: AttentionOperand;
  readonly dk?: AttentionOperand;
  readonly dv?: AttentionOperand;
}

/** One entry point of one file of `shaders/`. */
export interface AttentionKernel {
  /** Base name of the file in `shaders/`. */
  readonly file: string;
  readonly entry: string;
  /** Names of bindings 1, 2, …; the last `outputs` of them are written. */
  readonly bindings: readonly string[];
  readonly outputs: number;
  /** Text constants; `shape` is the shape class that the text serves: head size, window and softcap on or off. */
  constants(device: AttentionDevice, shape: AttentionShape): Record<string, number | boolean>;
  /** Workgroups to dispatch. */
  grid(device: AttentionDevice, shape: AttentionShape): [number, number, number];
}

/** A full set of kernels for one class of adapter. */
export interface AttentionVariant {
  readonly name: "lanes" | "workgroup";
  /** Why this variant cannot run there, or undefined when it can. */
  refusal(device: AttentionDevice, shape: AttentionShape): string | undefined;
  readonly forward: AttentionKernel;
  readonly dquery: AttentionKernel;
  readonly dkeyvalue: AttentionKernel;
}

/** Tokens per entry of the forest's block table: BLOCK in the shaders. */
export const FOREST_BLOCK = 16;

/** Elements (u32) of the buffer `forest` of so many tokens. */
export function forestLength(tokens: number): number {
  return 2 * (tokens + 2 * Math.ceil(tokens / FOREST_BLOCK));
}

const FIELDS = ["q", "k", "v", "out", "dout", "dq", "dk", "dv"] as const;

/**
 * The uniform's bytes: tokens, heads, kv_heads, head_dim, window (u32), then offset and stride (u32) of q, k, v, out,
 * dout, dq, dk, dv, then scale and softcap (f32), padded to 96 bytes.
 */
export function packAttentionParams(params: AttentionParams): ArrayBuffer {
  const bytes = new ArrayBuffer(96);
  const view = new DataView(bytes);
  let at = 0;
  const u32 = (value: number): void => {
    view.setUint32(at, value, true);
    at += 4;
  };
  const { tokens, heads, kvHeads, headDim } = params;
  for (const value of [tokens, heads, kvHeads, headDim, params.window]) u32(value);
  for (const field of FIELDS) {
    u32(params[field]?.offset ?? 0);
    u32(params[field]?.stride ?? 0);
  }
  view.setFloat32(at, params.scale, true);
  view.setFloat32(at + 4, params.softcap, true);
  return bytes;
}

/** Why no kernel serves this shape, or undefined. Every variant's `refusal` asks this first. */
export function shapeRefusal(shape: AttentionShape): string | undefined {
  const { headDim, heads, kvHeads, tokens } = shape;
  if (headDim % 4 !== 0 || headDim < 8 || headDim > 256) {
    return `head size ${headDim} is not a multiple of 4 from 8 to 256`;
  }
  if (kvHeads < 1 || heads % kvHeads !== 0) {
    return `${heads} query heads cannot be shared out over ${kvHeads} key heads`;
  }
  if (heads > 65_535) return `${heads} heads are more than the 65,535 workgroups of a dimension`;
  if (tokens < 1) return "there are no tokens";
  if (Math.ceil(tokens / 8) > 65_535) return `${tokens} tokens are more than 524,280`;
  return undefined;
}

/** Spans of tokens and blocks from `end` and `depth`: once per batch, for every layer, forward and backward. */
export const forestKernel: AttentionKernel = {
  file: "attention-forest",
  entry: "attention_forest",
  bindings: ["end", "depth", "forest"],
  outputs: 1,
  constants: () => ({}),
  grid: (_device, shape) => [Math.ceil(Math.ceil(shape.tokens / FOREST_BLOCK) / 64), 1, 1],
};

/** (lse, delta) per head and token, for the two backward kernels. */
export const deltaKernel: AttentionKernel = {
  file: "attention-delta",
  entry: "attention_delta",
  bindings: ["out", "dout", "lse", "stats"],
  outputs: 1,
  constants: () => ({}),
  grid: (_device, shape) => [Math.ceil(shape.tokens / 64), shape.heads, 1],
};

const FORWARD_BINDINGS = ["q", "k", "v", "forest", "out", "lse"] as const;
const DQUERY_BINDINGS = ["q", "k", "v", "dout", "stats", "forest", "dq"] as const;
const DKEYVALUE_BINDINGS = ["q", "k", "v", "dout", "stats", "forest", "dkv"] as const;

/**
 * Rows that a lane owns, and rows of the other side that one iteration takes. More rows share a load, but must fit in the
 * instruction cache, and every register of the loop costs compile time. Measured on lavapipe, 8 lanes.
 */
interface LaneTile {
  readonly rows: number;
  readonly step: number;
}

function forwardTile(headDim: number): LaneTile {
  if (headDim <= 8) return { rows: 4, step: 4 };
  if (headDim <= 16) return { rows: 4, step: 2 };
  if (headDim <= 32) return { rows: 4, step: 1 };
  return { rows: headDim <= 128 ? 2 : 1, step: 1 };
}

function backwardTile(headDim: number): LaneTile {
  if (headDim <= 8) return { rows: 2, step: 4 };
  if (headDim <= 16) return { rows: 2, step: 2 };
  return { rows: headDim <= 64 ? 2 : 1, step: 1 };
}

function lanesKernel(
  part: "forward" | "dquery" | "dkeyvalue",
  bindings: readonly string[],
  outputs: number,
  tile: (headDim: number) => LaneTile,
): AttentionKernel {
  return {
    file: `attention-${part}-lanes`,
    entry: `attention_${part}_lanes`,
    bindings,
    outputs,
    constants: (device, shape) => {
      const { rows, step } = tile(shape.headDim);
      return {
        LANES: device.subgroupSize ?? 8,
        HEAD_DIM: shape.headDim,
        ROWS: rows,
        STEP: step,
        HAS_WINDOW: shape.hasWindow,
        HAS_SOFTCAP: shape.hasSoftcap,
      };
    },
    grid: (device, shape) => {
      const rows = tile(shape.headDim).rows * (device.subgroupSize ?? 8);
      return [
        Math.ceil(shape.tokens / rows),
        part === "dkeyvalue" ? shape.kvHeads : shape.heads,
        1,
      ];
    },
  };
}

/** TILE of the workgroup kernels. */
const WORKGROUP_TILE = 32;

/** Workgroup memory of a kernel: so much at all events, and so much per dimension that is staged at a time. */
interface WorkgroupMemory {
  readonly baseBytes: number;
  readonly bytesPerDimension: number;
  /** Staging more than this costs more in occupancy than it saves in barriers. */
  readonly mostDimensions: number;
}

function workgroupKernel(
  part: "forward" | "dquery" | "dkeyvalue",
  bindings: readonly string[],
  outputs: number,
  memory: WorkgroupMemory,
): AttentionKernel {
  return {
    file: `attention-${part}`,
    entry: `attention_${part}_workgroup`,
    bindings,
    outputs,
    constants: (device, shape) => ({
      HEAD_DIM: shape.headDim,
      CHUNK: stagedDimensions(memory, device, shape.headDim),
      HAS_WINDOW: shape.hasWindow,
      HAS_SOFTCAP: shape.hasSoftcap,
    }),
    grid: (_device, shape) => [
      Math.ceil(shape.tokens / WORKGROUP_TILE),
      part === "dkeyvalue" ? shape.kvHeads : shape.heads,
      1,
    ],
  };
}

/**
 * The fewest equal chunks of a row that fit, in dimensions (a multiple of 4).
 *
 * A driver on a CPU compiles every load of the unrolled chunk eight times over, for seconds: there chunks are smallest.
 */
function stagedDimensions(
  memory: WorkgroupMemory,
  device: AttentionDevice,
  headDim: number,
): number {
  if (device.isSoftware) return 4;
  const free = device.workgroupStorageBytes - memory.baseBytes;
  const fitting = Math.floor(free / memory.bytesPerDimension / 4) * 4;
  const chunks = Math.ceil(headDim / Math.min(memory.mostDimensions, fitting));
  return Math.ceil(headDim / 4 / chunks) * 4;
}

/** For drivers on a CPU: rows in lanes, loads shared by `subgroupBroadcast`, no workgroup memory, no barrier. */
export const lanesVariant: AttentionVariant = {
  name: "lanes",
  refusal: (device, shape) => {
    const reason = shapeRefusal(shape);
    if (reason !== undefined) return reason;
    const size = device.subgroupSize;
    if (size === 4 || size === 8 || size === 16) return undefined;
    return size === undefined
      ? "the adapter has no subgroups of one fixed size"
      : `written for subgroups of 4, 8 or 16 lanes; the adapter has ${size}`;
  },
  forward: lanesKernel("forward", FORWARD_BINDINGS, 2, forwardTile),
  dquery: lanesKernel("dquery", DQUERY_BINDINGS, 1, backwardTile),
  dkeyvalue: lanesKernel("dkeyvalue", DKEYVALUE_BINDINGS, 1, backwardTile),
};

/** For hardware: tiles in workgroup memory, patches of them in registers. Runs everywhere. */
export const workgroupVariant: AttentionVariant = {
  name: "workgroup",
  refusal: (_device, shape) => shapeRefusal(shape),
  forward: workgroupKernel("forward", FORWARD_BINDINGS, 2, {
    baseBytes: 7936,
    bytesPerDimension: 256,
    mostDimensions: 64,
  }),
  dquery: workgroupKernel("dquery", DQUERY_BINDINGS, 1, {
    baseBytes: 6656,
    bytesPerDimension: 512,
    mostDimensions: 32,
  }),
  dkeyvalue: workgroupKernel("dkeyvalue", DKEYVALUE_BINDINGS, 1, {
    baseBytes: 11_264,
    bytesPerDimension: 512,
    mostDimensions: 32,
  }),
};

/** The variant for an adapter: lanes on a driver that computes on the CPU and has the subgroups for it. */
export function chooseAttentionVariant(
  device: AttentionDevice,
  shape: AttentionShape,
): AttentionVariant {
  const isLanes = device.isSoftware && lanesVariant.refusal(device, shape) === undefined;
  return isLanes ? lanesVariant : workgroupVariant;
}
