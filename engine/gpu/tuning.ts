/**
 * Which of several kernels computes a product: the table of choices of one device, and what has been found out about its
 * kernels. A table knows nothing of timing: `engine/graph/tuner.ts` settles what {@link Tuning.choose} leaves open.
 */
import type { ForgeError } from "../error.ts";
import type { KernelDispatch } from "./dispatch.ts";
import { SHADER_SOURCES } from "./shader-sources.ts";

/**
 * `off`: the candidate with the best estimate, never timed. `auto`: candidates are timed once for each class of shapes.
 * `frozen`: the choices of the table, never timed; a class without one falls back to the estimate and is reported. In
 * every mode a kernel is verified against the plain one before it is first used.
 */
export type TuningMode = "off" | "auto" | "frozen";

/** One dispatch over named buffers, binding 1 first. */
export interface TrialStep {
  readonly dispatch: KernelDispatch;
  readonly operands: readonly string[];
}

/** A computation on data made for it, by any candidate and by the plain kernel. */
export interface Arena<C extends Candidate = Candidate> {
  /** Values of each buffer, or how many f32 it has, all NaN at first. */
  readonly buffers: Readonly<Record<string, Float32Array<ArrayBuffer> | number>>;
  steps(candidate: C): readonly TrialStep[];
  readonly plainSteps: readonly TrialStep[];
  /** What must agree: `count` elements of what each leaves in its buffer. */
  readonly actual: { readonly buffer: string; readonly from: number };
  readonly expected: { readonly buffer: string; readonly from: number };
  readonly count: number;
  /** Largest difference allowed. */
  tolerance(candidate: C): number;
}

/** One kernel that computes what a contest is about. */
export interface Candidate {
  readonly name: string;
  /** Names the kernel's text: a verdict holds for all candidates of this id. */
  readonly id: string;
  /** Whether it is the kernel that the others are verified against. */
  readonly isPlain: boolean;
  /** A small computation with edges in every dimension, for the verdict. */
  arena(): Arena;
}

/** The choice between kernels for one class of shapes. */
export interface Contest<C extends Candidate = Candidate> {
  /** The class. */
  readonly key: string;
  /** The best estimate first; one of them is plain. */
  readonly candidates: readonly C[];
  /** A computation of this class, of a bounded size, to time candidates on. */
  arena(): Arena<C>;
}

/** A choice made. */
export interface Choice {
  readonly variant: string;
  /** Milliseconds of each candidate that was timed. */
  readonly ms: Readonly<Record<string, number>>;
}

/** A contest that lowering could not settle, and the candidate it went on with. */
export interface OpenContest {
  readonly contest: Contest;
  readonly given: Candidate;
  /** Whether the candidates are to be timed; else only the given one is to be verified. */
  readonly isUndecided: boolean;
}

/** What a device's table says, for run headers and `doctor`. */
export interface TuningReport {
  readonly mode: TuningMode;
  readonly choices: Readonly<Record<string, Choice>>;
  /** Ids of the kernels that agree with the plain one on this adapter. */
  readonly verified: readonly string[];
  /** Why kernels are not used, by id. */
  readonly rejected: Readonly<Record<string, string>>;
  /** Classes that a frozen table had no usable choice for: their kernels are those of the estimate. */
  readonly missing: readonly string[];
  /** Why the last table that was imported is not in force. */
  readonly ignored: string | undefined;
}

/** What a table is valid for. */
export interface TuningScope {
  /** The adapter with its driver, and everything else that kernels depend on. */
  readonly adapter: string;
  /** Hash of all shader texts. */
  readonly shaders: string;
}

/** The table of one device. */
export class Tuning {
  mode: TuningMode;
  readonly scope: TuningScope;
  /** Called when the table has changed, for example to save it. */
  onChange: (() => void) | undefined;
  /** Name of a candidate to use wherever it can be, whatever the table says: for self-tests. */
  preferred: string | undefined;
  readonly #choices = new Map<string, Choice>();
  readonly #verified = new Set<string>();
  readonly #rejected = new Map<string, string>();
  readonly #missing = new Set<string>();
  #open: OpenContest[] = [];
  #ignored: string | undefined;

  constructor(adapter: string, mode: TuningMode) {
    this.scope = { adapter, shaders: shaderHash() };
    this.mode = mode;
  }

  /**
   * The candidate to use: the table's choice, else the best estimate.
   *
   * What is still to be timed or verified is noted for {@link takeOpen}; whoever lowers settles it and lowers again.
   */
  choose<C extends Candidate>(contest: Contest<C>): C {
    const usable = contest.candidates.filter((c) => !this.#rejected.has(c.id));
    const best = usable[0] ?? (contest.candidates.find((c) => c.isPlain) as C);
    const choice = this.#choices.get(contest.key);
    const tuned = choice && usable.find((c) => c.name === choice.variant);
    const preferred = usable.find((c) => c.name === this.preferred);
    const given = preferred ?? (this.mode === "off" ? best : (tuned ?? best));
    if (this.mode === "frozen" && !tuned) this.#missing.add(contest.key);
    const isUndecided = this.mode === "auto" && !tuned && !preferred && usable.length > 1;
    if (isUndecided || !this.isTrusted(given)) {
      this.#open.push({ contest, given, isUndecided });
    }
    return given;
  }

  /** Contests noted since the last call. */
  takeOpen(): readonly OpenContest[] {
    const open = this.#open;
    this.#open = [];
    return open;
  }

  /** Whether a candidate may be used: it is the plain kernel, or agrees with it. */
  isTrusted(candidate: Candidate): boolean {
    return candidate.isPlain || this.#verified.has(candidate.id);
  }

  /** Whether a candidate is known not to agree with the plain kernel. */
  isRejected(candidate: Candidate): boolean {
    return this.#rejected.has(candidate.id);
  }

  /** Whether the table has a choice for a class that these candidates can serve. */
  isDecided(contest: Contest): boolean {
    const name = this.#choices.get(contest.key)?.variant;
    return contest.candidates.some((c) => c.name === name && !this.isRejected(c));
  }

  /** Notes that a kernel agrees with the plain one. */
  accept(candidate: Candidate): void {
    this.#verified.add(candidate.id);
  }

  /** Notes why a kernel is not to be used on this device. */
  reject(candidate: Candidate, error: ForgeError): void {
    this.#verified.delete(candidate.id);
    this.#rejected.set(candidate.id, error.message);
  }

  /** Notes the choice for a class. */
  decide(key: string, choice: Choice): void {
    this.#choices.set(key, choice);
    this.#missing.delete(key);
  }

  /** Forgets choices and verdicts. */
  clear(): void {
    for (const table of [this.#choices, this.#verified, this.#rejected, this.#missing])
      table.clear();
    this.#open = [];
    this.#ignored = undefined;
  }

  /** What the table says now. */
  report(): TuningReport {
    return {
      mode: this.mode,
      choices: Object.fromEntries(this.#choices),
      verified: [...this.#verified],
      rejected: Object.fromEntries(this.#rejected),
      missing: [...this.#missing],
      ignored: this.#ignored,
    };
  }

  /** The table as JSON, to be kept outside of the engine. */
  export(): string {
    const { choices, verified, rejected } = this.report();
    const isFrozen = this.mode === "frozen";
    const file: TuningFile = {
      format: FORMAT,
      ...this.scope,
      isFrozen,
      choices,
      verified,
      rejected,
    };
    return `${JSON.stringify(file, null, 2)}\n`;
  }

  /**
   * Takes over an exported table, in place of this one.
   *
   * A table of another adapter, driver or version of the shaders, or a text that is no table, is ignored: then the reason
   * is returned, and stays in {@link report}. A frozen table freezes the device even so: it is never timed.
   */
  import(json: string): string | undefined {
    const file = parse(json);
    if (typeof file !== "string" && file.isFrozen) this.mode = "frozen";
    this.#ignored = typeof file === "string" ? file : this.#mismatch(file);
    if (typeof file === "string" || this.#ignored !== undefined) return this.#ignored;
    this.clear();
    for (const [key, choice] of Object.entries(file.choices)) this.#choices.set(key, choice);
    for (const id of file.verified) this.#verified.add(id);
    for (const [id, reason] of Object.entries(file.rejected)) this.#rejected.set(id, reason);
    return undefined;
  }

  #mismatch(file: TuningFile): string | undefined {
    if (file.adapter !== this.scope.adapter) {
      return `the table is of "${file.adapter}", not of "${this.scope.adapter}"`;
    }
    return file.shaders === this.scope.shaders ? undefined : "the shaders have changed since";
  }
}

/** An exported table. */
interface TuningFile extends TuningScope {
  readonly format: typeof FORMAT;
  readonly isFrozen: boolean;
  readonly choices: Readonly<Record<string, Choice>>;
  readonly verified: readonly string[];
  readonly rejected: Readonly<Record<string, string>>;
}

const FORMAT = "forge-gpu tuning 1";

/** A table, or why the text is none. */
function parse(json: string): TuningFile | string {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return "the table is no JSON";
  }
  const file = value as Partial<TuningFile> | null;
  if (file?.format !== FORMAT) return `the table is not in the format "${FORMAT}"`;
  const isWhole =
    typeof file.adapter === "string" &&
    typeof file.shaders === "string" &&
    typeof file.isFrozen === "boolean" &&
    isRecord(
      file.choices,
      (c) => typeof c?.variant === "string" && isRecord(c.ms, Number.isFinite),
    ) &&
    isRecord(file.rejected, (reason) => typeof reason === "string") &&
    Array.isArray(file.verified) &&
    file.verified.every((id) => typeof id === "string");
  return isWhole ? (file as TuningFile) : "the table is damaged";
}

function isRecord<T>(
  value: Readonly<Record<string, T>> | undefined,
  holds: (item: T) => boolean,
): boolean {
  return typeof value === "object" && value !== null && Object.values(value).every(holds);
}

let hash: string | undefined;

/** Fingerprint of all shader texts: the hash FNV-1a of Fowler, Noll and Vo, with two offsets. */
function shaderHash(): string {
  if (hash !== undefined) return hash;
  const text = JSON.stringify(SHADER_SOURCES);
  const words = [0x811c9dc5, 0x01234567].map((offset) => {
    let h = offset;
    for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
    return (h >>> 0).toString(16).padStart(8, "0");
  });
  hash = words.join("");
  return hash;
}
