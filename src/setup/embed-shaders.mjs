/**
 * Writes `engine/gpu/shader-sources.ts`: every file of `shaders/` as a string, by its base name.
 *
 * The engine must run where there is no file system, so its WGSL travels as a module. That module is generated and not
 * kept in git; it is rewritten only when its content changes, so that watchers and stamps stay quiet.
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { isMain, projectRoot } from "./paths.mjs";

/**
 * The text of a shader file with its `#include name` lines replaced by `shaders/shared/name.wgsl`.
 *
 * @param {string} folder the folder `shaders`
 * @param {string} file its name there
 * @returns {string}
 */
export function shaderText(folder, file) {
  const text = readFileSync(join(folder, file), "utf8");
  return text.replace(/^#include ([\w-]+)\n/gm, (_line, /** @type {string} */ name) =>
    readFileSync(join(folder, "shared", `${name}.wgsl`), "utf8"),
  );
}

/**
 * Embeds the shaders of a source tree.
 *
 * @param {string} [root] the source tree; by default the one that holds this file
 * @returns {boolean} whether the module changed
 */
export function embedShaders(root = projectRoot()) {
  const folder = join(root, "shaders");
  const names = existsSync(folder)
    ? readdirSync(folder)
        .filter((name) => name.endsWith(".wgsl"))
        .sort()
    : [];
  const entries = names.map((name) => {
    const text = shaderText(folder, name);
    return `  ${JSON.stringify(basename(name, ".wgsl"))}: ${JSON.stringify(text)},\n`;
  });
  const module = [
    "// Generated from shaders/*.wgsl by src/setup/embed-shaders.mjs. Do not edit.\n",
    "/** The text of every file in `shaders/`, by its base name. */\n",
    "export const SHADER_SOURCES: Readonly<Record<string, string>> = {\n",
    ...entries,
    "};\n",
  ].join("");

  const target = join(root, "engine", "gpu", "shader-sources.ts");
  if (existsSync(target) && readFileSync(target, "utf8") === module) return false;
  mkdirSync(dirname(target), { recursive: true });
  const draft = `${target}.${process.pid}`;
  writeFileSync(draft, module);
  renameSync(draft, target);
  return true;
}

if (isMain(import.meta.url)) {
  process.stdout.write(embedShaders() ? "shaders embedded\n" : "shaders unchanged\n");
}
