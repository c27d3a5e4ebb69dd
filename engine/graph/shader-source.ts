/** The texts of `shaders/`. */

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
