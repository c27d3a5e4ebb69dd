import { describe, expect, it } from "vitest";
import { filesMatching, filesOfModel } from "../../../src/hub/choose.ts";
import type { RemoteFile } from "../../../src/hub/listing.ts";
import { codeOf } from "../../support/errors.ts";

const repository = {
  id: "org/name",
  revision: "main",
  endpoint: "https://hub.example",
  token: undefined,
};
const INDEX = "model.safetensors.index.json";

const filesOf = (paths: readonly string[]): RemoteFile[] =>
  paths.map((path) => ({ path, size: 1, sha: "0".repeat(40) }));
const indexOf = (...shards: readonly string[]): string =>
  JSON.stringify({ weight_map: Object.fromEntries(shards.map((shard, i) => [`w${i}`, shard])) });

function chosen(paths: readonly string[], index?: string): readonly string[] {
  return filesOfModel(repository, filesOf(paths), index).map(({ path }) => path);
}

describe("filesOfModel", () => {
  it("takes configuration, tokenizer, chat template and weights", () => {
    const needed = [
      ...["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"],
      ...["special_tokens_map.json", "chat_template.jinja", "chat_template.json"],
      "model.safetensors",
    ];
    const others = [
      ...[".gitattributes", "README.md", "pytorch_model.bin", "model.gguf", "model.onnx", "a.pt"],
      ...["onnx/model.onnx", "original/model.safetensors", "onnx/config.json", "tf_model.h5"],
    ];
    expect(chosen([...others, ...needed])).toEqual(needed);
  });

  it("takes the shards of the index, whatever lies beside them", () => {
    const shards = ["model-1.safetensors", "model-2.safetensors"];
    const paths = [
      "config.json",
      INDEX,
      ...shards,
      "model.safetensors",
      "consolidated.safetensors",
    ];
    expect(chosen(paths, indexOf(...shards, ...shards))).toEqual(["config.json", INDEX, ...shards]);
  });

  it("takes model.safetensors before variants of it, and those where there is nothing else", () => {
    const variants = ["model.fp16.safetensors", "other.safetensors"];
    expect(chosen(["config.json", ...variants, "model.safetensors"])).toEqual([
      "config.json",
      "model.safetensors",
    ]);
    expect(chosen(["config.json", ...variants])).toEqual(["config.json", ...variants]);
  });

  it("takes adapters, alone and beside a model", () => {
    const adapter = ["adapter_config.json", "adapter_model.safetensors"];
    expect(chosen(adapter)).toEqual(adapter);
    const both = ["config.json", "model.safetensors", ...adapter];
    expect(chosen(both)).toEqual(both);
  });

  it.each([
    ["no weights", ["config.json", "pytorch_model.bin"], undefined],
    ["weights in folders only", ["config.json", "fp16/model.safetensors"], undefined],
    ["no configuration", ["model.safetensors"], undefined],
    ["a shard that is missing", ["config.json", INDEX], indexOf("model-1.safetensors")],
    ["a shard elsewhere", ["config.json", INDEX], indexOf("../../.ssh/id_rsa")],
  ])("refuses what could not be loaded: %s", (_, paths, index) => {
    expect(codeOf(() => chosen(paths, index))).toBe("hub_not_found");
  });

  it.each(["", "[]", "null", "{}", '{"weight_map": {}}', '{"weight_map": {"a": 1}}', "<html>"])(
    "refuses the index %j",
    (index) => {
      expect(codeOf(() => chosen(["config.json", INDEX], index))).toBe("hub_answer_invalid");
    },
  );
});

describe("filesMatching", () => {
  const files = filesOf([
    "a.json",
    "ab.json",
    "b.txt",
    "deep/a.json",
    "deep/er/a.json",
    "[x](y).md",
  ]);
  const matching = (...globs: readonly string[]): readonly string[] =>
    filesMatching(files, globs).map(({ path }) => path);

  it.each([
    [["*.json"], ["a.json", "ab.json"]],
    [["?.json"], ["a.json"]],
    [["**/a.json"], ["a.json", "deep/a.json", "deep/er/a.json"]],
    [["deep/**"], ["deep/a.json", "deep/er/a.json"]],
    [["deep/*"], ["deep/a.json"]],
    [
      ["b.txt", "a.json", "a*.json"],
      ["a.json", "ab.json", "b.txt"],
    ],
    [["[x](y).md"], ["[x](y).md"]],
  ])("%j matches %j", (globs, paths) => {
    expect(matching(...globs)).toEqual(paths);
  });

  it("refuses a glob that matches nothing, also beside one that does", () => {
    expect(codeOf(() => matching("*.json", "*.gguf"))).toBe("argument_invalid");
    expect(codeOf(() => matching("A.JSON"))).toBe("argument_invalid");
    expect(codeOf(() => matching(""))).toBe("argument_invalid");
  });
});
