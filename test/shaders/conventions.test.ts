import { existsSync, readdirSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { ResourceType, WgslReflect } from "wgsl_reflect/wgsl_reflect.module.js";
import { declaredBindings } from "../../engine/gpu/pipeline.ts";
import { expandShader } from "../../engine/gpu/shader.ts";
import { shaderText } from "../../src/setup/embed-shaders.mjs";
import { ADAPTERS, dispatches } from "../support/dispatches.ts";

const root = resolve(import.meta.dirname, "../..");
const folder = join(root, "shaders");

/** One file of `shaders/`. */
interface Shader {
  readonly name: string;
  readonly text: string;
  /** The first comment. */
  readonly header: readonly string[];
  /** Everything behind it, without comments. */
  readonly code: string;
}

const SHADERS: readonly Shader[] = readdirSync(folder)
  .filter((file) => file.endsWith(".wgsl"))
  .sort()
  .map((file) => {
    const text = shaderText(folder, file);
    const lines = text.split("\n");
    const end = lines.findIndex((line) => !line.startsWith("//"));
    const code = lines
      .slice(end)
      .map((line) => line.replace(/\/\/.*$/, "").trimEnd())
      .join("\n");
    return { name: basename(file, ".wgsl"), text, header: lines.slice(0, end), code };
  });

const KEYS = ["Formula", "Shapes", "Bindings", "Dispatch", "Numerics", "Source"];

/** The paragraph of a header, in one line. */
function paragraph({ header }: Shader, key: string): string {
  const start = header.findIndex((line) => line.startsWith(`// ${key} `));
  const next = header.findIndex((line, i) => i > start && /^\/\/ \w/.test(line));
  const lines = header.slice(start, next < 0 ? undefined : next);
  return lines.map((line) => line.slice(13)).join(" ");
}

/** A binding, as `number name kind`. */
function described(text: string): string[] {
  const own = text.matchAll(/(\d) (\w+) (uniform|read_write|read)\b(?: \(\w+: (\w+)\))?/g);
  return [...own].flatMap(([, number, name, kind, alias]) => [
    `${number} ${name} ${kind}`,
    ...(alias === undefined ? [] : [`${number} ${alias} ${kind}`]),
  ]);
}

function declared(code: string): string[] {
  const all = code.matchAll(
    /@group\(0\) @binding\((\d+)\) var<(uniform|storage)(?:, (read|read_write))?> (\w+):/g,
  );
  return [...all].map(([, number, space, access, name]) => `${number} ${name} ${access ?? space}`);
}

/** What the reflection library makes of the declarations; function bodies use names that it takes for keywords. */
function reflected(code: string): string[] {
  const declarations = code.replace(/^@compute.*\n|^fn [\s\S]*?^\}$/gm, "");
  const { uniforms, storage } = new WgslReflect(declarations);
  return [...uniforms, ...storage].map(({ binding, name, access, resourceType }) => {
    const isUniform = resourceType === ResourceType.Uniform;
    return `${binding} ${name} ${isUniform ? "uniform" : access}`;
  });
}

/** Names of entry points. */
function entries(code: string): string[] {
  return [...code.matchAll(/^@compute.*\nfn (\w+)/gm)].map((m) => m[1] ?? "");
}

/** What entry points begin with, where that is not the first word of their file. */
const FAMILIES: Readonly<Record<string, readonly string[]>> = {
  softmax: ["softmax", "log_sum_exp"],
};

/** Oracles of families that are not called like their files. */
const ORACLES: Readonly<Record<string, readonly string[]>> = {
  "cache-copy": ["cache-attention"],
  "cache-write": ["cache-attention"],
  "clip-factor": ["global-norm"],
  "norm-weight-gradient": ["layer-norm", "rms-norm"],
  "pack-bf16": ["ring-sum"],
  "pack-int8": ["ring-sum"],
  "policy-loss": ["rl-token-losses", "rl-sequence-losses", "rl-kl"],
};

/** The file in `test/reference` that a family is checked against: its name, or the longest beginning of it. */
function oraclesOf(name: string): readonly string[] {
  const words = name.split("-");
  const names = words.map((_, i) => words.slice(0, words.length - i).join("-"));
  const found = names.find((n) => existsSync(join(root, "test/reference", `${n}.ts`)));
  return ORACLES[name] ?? (found === undefined ? [] : [found]);
}

/** Everything that the kernel tables can dispatch, on any adapter. */
const DISPATCHES = Object.values(ADAPTERS).flatMap(dispatches);

describe.each(SHADERS)("shaders/$name.wgsl", (shader) => {
  const { name, header, code, text } = shader;

  it("says in its first line what it is", () => {
    expect(header[0]).toMatch(new RegExp(`^// ${name}\\.wgsl — \\S.*\\.$`));
    expect(header[1]).toBe("//");
  });

  it("has the six paragraphs of the header, in order", () => {
    const keys = header.flatMap((line) => /^\/\/ ([A-Z]\w*) /.exec(line)?.[1] ?? []);
    expect(keys).toEqual(KEYS);
    for (const key of KEYS) expect(paragraph(shader, key), key).toMatch(/^\S/);
    for (const line of header.slice(2)) expect(line).toMatch(/^\/\/ (\w{5,8} +| {10})\S/);
  });

  it("has the bindings that its header describes", () => {
    const line = paragraph(shader, "Bindings");
    expect(line).toMatch(/^group\(0\) {2}0 params uniform · 1 /);
    expect(described(line).sort()).toEqual(declared(code).sort());
  });

  it("is read alike by the engine and by the reflection library", () => {
    const plain = expandShader(name, code);
    expect(reflected(plain).sort()).toEqual(declared(code).sort());
    const kinds = declaredBindings(plain);
    for (const binding of declared(code)) {
      const [number, , kind] = binding.split(" ");
      expect(kinds[Number(number)], binding).toBe(kind);
    }
  });

  it("binds the uniform, then inputs, then outputs: eight storage buffers at most", () => {
    const kinds = declaredBindings(code);
    const order = kinds.map((kind) => ["uniform", "read", "read_write"].indexOf(kind ?? ""));
    expect(order[0]).toBe(0);
    expect(order.slice(1)).toEqual(order.slice(1).sort());
    expect(order.slice(1)).not.toContain(0);
    expect(order.slice(1)).not.toContain(-1);
    expect(kinds.length).toBeLessThanOrEqual(9);
  });

  it("names things as the others do", () => {
    const names = (pattern: RegExp): string[] => [...code.matchAll(pattern)].map((m) => m[1] ?? "");
    const functions = names(/\bfn (\w+)/g);
    for (const fn of functions) expect(fn).toMatch(/^[a-z][a-z0-9]*(_[a-z0-9]+)*$/);
    for (const type of names(/\b(?:struct|alias) (\w+)/g)) expect(type).toMatch(/^[A-Z]\w*$/);
    for (const constant of names(/\bconst (\w+)/g)) expect(constant).toMatch(/^[A-Z][A-Z0-9_]*$/);
    expect(entries(code).length).toBeGreaterThan(0);
    const families = FAMILIES[name] ?? [name.split("-")[0]];
    for (const entry of entries(code)) {
      expect(
        families.some((family) => entry.startsWith(`${family}`)),
        entry,
      ).toBe(true);
    }
  });

  it("has every function at column 0, declarations before them", () => {
    expect(code).not.toMatch(/^[^\n]+\bfn \w/m);
    const first = (pattern: RegExp): number => code.search(pattern);
    expect(first(/^struct Params/m)).toBeLessThan(first(/^@group\(0\)/m));
    expect(first(/^const /m)).toBeLessThan(first(/^struct Params/m));
    expect(first(/^@group\(0\)/m)).toBeLessThan(first(/^(?:fn|@compute) /m));
    expect(text.endsWith("}\n")).toBe(true);
  });

  it("is free of infinities, NaN, float atomics, and sums over subgroups", () => {
    expect(code).not.toMatch(/\b(?:inf|nan)\b|0xff800000|\/ ?0\.0\b/i);
    expect(code).not.toMatch(/bitcast<f32>\(0x7f[89a-f]/i);
    expect(code).not.toMatch(/atomic<(?!u32>)|atomicCompareExchange/);
    expect(code).not.toMatch(/subgroup(?:Inclusive|Exclusive)?(?:Add|Mul|Min|Max|Shuffle)/);
  });

  it("has an oracle, and each entry point a row in a kernel table", () => {
    const oracles = oraclesOf(name);
    expect(oracles.length).toBeGreaterThan(0);
    for (const oracle of oracles) {
      expect(existsSync(join(root, "test/reference", `${oracle}.ts`)), oracle).toBe(true);
    }
    const used = DISPATCHES.filter((d) => d.name === name).map((d) => d.entry);
    expect([...new Set(used)].sort()).toEqual(entries(code).sort());
  });
});
