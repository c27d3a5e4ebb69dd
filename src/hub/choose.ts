/** Which files of a repository a model directory needs. */
import { ForgeError } from "../../engine/index.ts";
import type { RemoteFile } from "./listing.ts";
import { answerInvalid } from "./refusal.ts";
import type { Repository } from "./repository.ts";

/** The files beside the weights, where there are any. */
const COMPANIONS: ReadonlySet<string> = new Set([
  "config.json",
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "chat_template.jinja",
  "chat_template.json",
  "adapter_config.json",
]);
const ADAPTER = "adapter_model.safetensors";
const SINGLE = "model.safetensors";

/** The list of the shards of a model in several files. */
export const SHARD_INDEX = "model.safetensors.index.json";

/**
 * What a model directory needs: configuration, tokenizer, chat template, and the weights in safetensors.
 *
 * `index` is the text of {@link SHARD_INDEX}, if there is one: its shards are the weights, whatever lies beside them.
 * Without it they are `model.safetensors`, or else all safetensors files. Only files at the top count. Throws
 * `hub_not_found` where there is no model of that kind.
 */
export function filesOfModel(
  repository: Repository,
  files: readonly RemoteFile[],
  index: string | undefined,
): readonly RemoteFile[] {
  const names = new Set(files.map(({ path }) => path));
  const weights = new Set(
    index === undefined ? loose(files) : [SHARD_INDEX, ...shardsOf(repository, index)],
  );
  if (names.has(ADAPTER)) weights.add(ADAPTER);
  const missing = [...weights].filter((path) => !names.has(path));
  if (missing.length > 0) {
    throw incomplete(repository, `${SHARD_INDEX} names ${missing[0]}, which is not there`);
  }
  if (weights.size === 0) throw incomplete(repository, `no .safetensors among ${names.size} files`);
  if (!names.has("config.json") && !names.has("adapter_config.json")) {
    throw incomplete(repository, "neither config.json nor adapter_config.json");
  }
  return files.filter(({ path }) => weights.has(path) || COMPANIONS.has(path));
}

function loose(files: readonly RemoteFile[]): readonly string[] {
  const found = files.map(({ path }) => path).filter((path) => /^[^/]+\.safetensors$/.test(path));
  return found.includes(SINGLE) ? [SINGLE] : found;
}

function shardsOf({ endpoint }: Repository, index: string): readonly string[] {
  try {
    const { weight_map: map } = JSON.parse(index) as {
      weight_map: Readonly<Record<string, unknown>>;
    };
    const shards = [...new Set(Object.values(map))];
    if (shards.length > 0 && shards.every((s) => typeof s === "string")) return shards;
  } catch {
    // no JSON, or without a weight_map
  }
  throw answerInvalid(endpoint, `${SHARD_INDEX} without a weight_map`);
}

function incomplete({ id }: Repository, got: string): ForgeError {
  return new ForgeError({
    code: "hub_not_found",
    what: `${id} is no model directory that forge-gpu could load`,
    got,
    fix: "look for a version in safetensors, or take the files as they are with --all or --include",
  });
}

/** The files that match one of the globs; throws `argument_invalid` for a glob that matches nothing. */
export function filesMatching(
  files: readonly RemoteFile[],
  globs: readonly string[],
): readonly RemoteFile[] {
  const chosen = new Set<RemoteFile>();
  for (const glob of globs) {
    const pattern = globPattern(glob);
    const matches = files.filter(({ path }) => pattern.test(path));
    if (matches.length === 0) {
      throw new ForgeError({
        code: "argument_invalid",
        what: "no file of the repository matches",
        got: JSON.stringify(glob),
        why: "* stands for any part of a name, ? for one character, ** for any folders",
        fix: `choose among ${files.length} files, such as ${files
          .slice(0, 3)
          .map((f) => f.path)
          .join(", ")}`,
      });
    }
    for (const match of matches) chosen.add(match);
  }
  return files.filter((file) => chosen.has(file));
}

/** A glob as a regular expression for whole paths: `*` and `?` stay within a folder, `**` does not. */
function globPattern(glob: string): RegExp {
  const source = glob.replace(/\*\*\/|\*+|\?|[^*?]+/g, (part) => {
    if (part === "**/") return "(?:[^/]+/)*";
    if (part.startsWith("**")) return ".*";
    if (part === "*") return "[^/]*";
    return part === "?" ? "[^/]" : part.replace(/[\\^$.|+()[\]{}]/g, "\\$&");
  });
  return new RegExp(`^${source}$`, "su");
}
