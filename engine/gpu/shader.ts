/**
 * Shader text: from a file in `shaders/` to the WGSL that the driver compiles.
 *
 * A shader file is plain WGSL plus two things that WGSL lacks and that kernels on registers need:
 *
 * - `#for i in 0..TILE` … `#end` repeats its lines with `${i}` replaced; bounds and `${…}` are integer expressions
 *   (`+ - * / %`, parentheses) over loop variables and the file's own `const`s. WGSL needs constant indices for
 *   `subgroupBroadcast` and for values that must live in registers, and has no way to write such a loop.
 * - the host may replace a module-level `const NAME: type = value;` or `alias Name = type;` (tile sizes, element type),
 *   and the body of a function (the `epilogue` that graph fusion writes).
 */
import { ForgeError } from "../error.ts";

/** What the host replaces in a shader file. */
export interface ShaderOptions {
  /** New values of module-level `const`s and `alias`es. Numbers keep the constant's declared type. */
  readonly constants?: Readonly<Record<string, number | boolean | string>>;
  /** Whole new definitions of functions, by name; each text starts with `fn`. */
  readonly functions?: Readonly<Record<string, string>>;
  /** Declarations (bindings, helpers) to add after the file's own. */
  readonly declarations?: string;
  /** Fields to append to `struct Params`, as WGSL: `name: type`. */
  readonly fields?: readonly string[];
  /** Whether the replacements use f16. */
  readonly usesF16?: boolean;
}

/**
 * Expands a shader file.
 *
 * Errors    `shader_invalid` for an unknown constant or function, an unbalanced `#for`, or a bad expression.
 */
export function expandShader(name: string, source: string, options: ShaderOptions = {}): string {
  let text = source;
  for (const [key, value] of Object.entries(options.constants ?? {})) {
    text = replaceConstant(name, text, key, value);
  }
  for (const [key, body] of Object.entries(options.functions ?? {})) {
    text = replaceFunction(name, text, key, body);
  }
  if (options.fields?.length) text = appendFields(name, text, options.fields);
  text = unroll(name, text);
  if (options.usesF16 && !/^enable f16;/m.test(text)) text = `enable f16;\n${text}`;
  return options.declarations ? `${text}\n${options.declarations}\n` : text;
}

function invalid(name: string, what: string, got: string): ForgeError {
  return new ForgeError({
    code: "shader_invalid",
    what: `shader "${name}": ${what}.`,
    got,
    fix: `correct shaders/${name}.wgsl or the options it is expanded with`,
  });
}

function replaceConstant(
  name: string,
  text: string,
  key: string,
  value: number | boolean | string,
): string {
  const line = new RegExp(
    `^(const ${key}(?:\\s*:\\s*(\\w+))?\\s*=\\s*)[^;]+;|^(alias ${key}\\s*=\\s*)[^;]+;`,
    "m",
  );
  if (!line.test(text)) throw invalid(name, `has no constant or alias "${key}"`, key);
  return text.replace(
    line,
    (_all, head: string | undefined, type: string | undefined, alias: string | undefined) => {
      if (alias !== undefined) return `${alias}${value};`;
      const suffix = typeof value === "number" && type === "u32" ? "u" : "";
      return `${head ?? ""}${value}${suffix};`;
    },
  );
}

/** Functions in shader files start at column 0 and end at the first `}` in column 0: the format test holds them to it. */
function replaceFunction(name: string, text: string, key: string, body: string): string {
  const start = new RegExp(`^fn ${key}\\b`, "m").exec(text);
  const end = start ? text.indexOf("\n}", start.index) : -1;
  if (!start || end < 0) throw invalid(name, `has no function "${key}" at column 0`, key);
  return `${text.slice(0, start.index)}${body}${text.slice(end + 2)}`;
}

function appendFields(name: string, text: string, fields: readonly string[]): string {
  const struct = /^struct Params\s*\{([^}]*)\}/m.exec(text);
  if (!struct) throw invalid(name, "has no struct Params", "fields to append");
  const own = (struct[1] ?? "").trimEnd().replace(/,$/, "");
  return text.replace(struct[0], `struct Params {${own},\n  ${fields.join(",\n  ")},\n}`);
}

interface Scope {
  readonly [name: string]: number;
}

/** Expands `#for` blocks and `${…}` expressions. */
function unroll(name: string, text: string): string {
  if (!/#(for|end)\b/.test(text)) return text;
  const constants: Record<string, number> = {};
  for (const m of text.matchAll(/^const (\w+)\s*:\s*u32\s*=\s*([^;]+);/gm)) {
    const value = evaluate(name, (m[2] ?? "").replace(/(\d)u\b/g, "$1"), constants);
    constants[m[1] ?? ""] = value;
  }
  const lines = text.split("\n");
  const out: string[] = [];
  const end = expandLines(name, lines, 0, constants, out, false);
  if (end !== lines.length) throw invalid(name, "has an #end without #for", `line ${end + 1}`);
  return out.join("\n");
}

function expandLines(
  name: string,
  lines: readonly string[],
  from: number,
  scope: Scope,
  out: string[],
  nested: boolean,
): number {
  let at = from;
  while (at < lines.length) {
    const line = lines[at] ?? "";
    const loop = /^\s*#for (\w+) in (.+?)\.\.(.+?)\s*$/.exec(line);
    if (loop) {
      const first = evaluate(name, loop[2] ?? "", scope);
      const last = evaluate(name, loop[3] ?? "", scope);
      let next = skipBlock(name, lines, at + 1);
      for (let value = first; value < last; value++) {
        next = expandLines(name, lines, at + 1, { ...scope, [loop[1] ?? ""]: value }, out, true);
      }
      at = next + 1;
    } else if (/^\s*#end\b/.test(line)) {
      return at;
    } else {
      out.push(line.replace(/\$\{([^}]+)\}/g, (_m, e: string) => String(evaluate(name, e, scope))));
      at++;
    }
  }
  if (nested) throw invalid(name, "has a #for without #end", `line ${from}`);
  return at;
}

/** Line index of the `#end` that closes the block starting at `from`. */
function skipBlock(name: string, lines: readonly string[], from: number): number {
  let depth = 0;
  for (let at = from; at < lines.length; at++) {
    const line = lines[at] ?? "";
    if (/^\s*#for\b/.test(line)) depth++;
    else if (/^\s*#end\b/.test(line) && depth-- === 0) return at;
  }
  throw invalid(name, "has a #for without #end", `line ${from}`);
}

/** Integer expression over `scope`: + - * / % and parentheses, with C precedence; `/` truncates. */
function evaluate(name: string, expression: string, scope: Scope): number {
  const tokens = expression.match(/\d+|\w+|[-+*/%()]/g) ?? [];
  let at = 0;
  const primary = (): number => {
    const token = tokens[at++];
    if (token === "(") {
      const value = sum();
      if (tokens[at++] !== ")") throw invalid(name, "has an unbalanced expression", expression);
      return value;
    }
    if (token !== undefined && /^\d/.test(token)) return Number(token);
    const value = token === undefined ? undefined : scope[token];
    if (value === undefined)
      throw invalid(name, `uses an unknown name in "${expression}"`, String(token));
    return value;
  };
  const product = (): number => {
    let value = primary();
    for (let op = tokens[at]; op === "*" || op === "/" || op === "%"; op = tokens[at]) {
      at++;
      const right = primary();
      value = op === "*" ? value * right : op === "/" ? Math.trunc(value / right) : value % right;
    }
    return value;
  };
  const sum = (): number => {
    let value = product();
    for (let op = tokens[at]; op === "+" || op === "-"; op = tokens[at]) {
      at++;
      const right = product();
      value = op === "+" ? value + right : value - right;
    }
    return value;
  };
  const value = sum();
  const isWhole = at === tokens.length && tokens.join("") === expression.replace(/\s+/g, "");
  if (!isWhole || !Number.isSafeInteger(value))
    throw invalid(name, "has a malformed expression", expression);
  return value;
}
