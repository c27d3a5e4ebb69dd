/** Function libraries in WGSL that generated kernels call. */

import { ForgeError } from "../error.ts";
import { SHADER_SOURCES } from "../gpu/shader-sources.ts";

/** The text of a shader file. */
export function shaderSource(name: string): string {
  const source = SHADER_SOURCES[name];
  if (source === undefined) {
    throw new ForgeError({
      code: "internal",
      what: `there is no shader file "${name}".`,
      fix: "run npm run build",
    });
  }
  return source;
}

/** The functions of the named libraries: each file's text up to its first binding. */
export function libraryText(names: readonly string[]): string {
  return names.map((n) => functionsOf(shaderSource(n))).join("\n");
}

/** Functions at column 0 up to the line `// Entry points`, without bindings and structs. */
function functionsOf(source: string): string {
  const functions = source.match(/^(?:fn \w+[\s\S]*?^\}|const \w+[^;]*;)/gm) ?? [];
  return functions.join("\n");
}
