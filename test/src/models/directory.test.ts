import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  argMax,
  byteTokenizer,
  chainForest,
  compile,
  createModel,
  type Device,
  namedParameters,
  type State,
  type Tensor,
  type Tokenizer,
  tensor,
} from "../../../engine/index.ts";
import {
  openModelDirectory,
  type SaveDirectoryOptions,
  saveModelDirectory,
} from "../../../src/models/directory.ts";
import { ABSENT, ASSETS } from "../../support/assets.ts";
import { errorOf, rejectionOf } from "../../support/errors.ts";
import { device } from "../../support/gpu.ts";

const golden = resolve(import.meta.dirname, "../../golden/models");
const stories = join(ASSETS, "models/stories260K-hf");

const folder = mkdtempSync(join(tmpdir(), "forge-gpu-directory-"));
afterAll(() => rmSync(folder, { recursive: true }));

let on: Device;
beforeAll(async () => {
  on = await device();
});

const [START, END] = ["<|start|>", "<|end|>"];
const TOKENIZER = byteTokenizer({ specialTokens: [START, END] });
const TEMPLATE = `${START}{% for m in messages %}{{ m.content }}{% endfor %}`;

/** A directory of a new model. */
async function made(name: string, options: SaveDirectoryOptions = {}): Promise<string> {
  const path = join(folder, name);
  const sizes = { vocab: 258, layers: 1, width: 16, heads: 2, mlpWidth: 16 };
  const model = createModel({ ...sizes, seed: name.length });
  await saveModelDirectory(model, path, options);
  model[Symbol.dispose]();
  return path;
}

/** Names and contents of what is in a directory. */
function contents(path: string): Map<string, string> {
  const names = readdirSync(path).sort();
  return new Map(names.map((name) => [name, readFileSync(join(path, name), "latin1")]));
}

/** Files in a directory that this process has open, where the system tells. */
function openFiles(path: string): string[] {
  if (!existsSync("/proc/self/fd")) return [];
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      const file = readlinkSync(`/proc/self/fd/${fd}`);
      return file.startsWith(path) ? [file] : [];
    } catch {
      return []; // that of the listing, closed by now
    }
  });
}

describe("openModelDirectory", () => {
  it("gives the model with all that belongs to it", async () => {
    const path = await made("whole", {
      files: {
        "tokenizer.json": TOKENIZER,
        "tokenizer_config.json": { eos_token: END, chat_template: TEMPLATE },
        "generation_config.json": {
          ...{ do_sample: true, temperature: 0.7, top_k: 20, top_p: 0.8, min_p: 0.1 },
          ...{ max_new_tokens: 50, eos_token_id: [257, 3], pad_token_id: -1, bos_token_id: 256 },
          ...{ transformers_version: "5.23.0", num_beams: 3 },
        },
      },
    });
    const before = on.liveBytes;
    const opened = await openModelDirectory(path, { device: on });
    expect(opened.path).toBe(path);
    expect(opened.model.family).toBe("llama");
    const { tokenizer, template } = opened;
    expect(tokenizer?.decode(tokenizer.encode("Ünïcödé"))).toBe("Ünïcödé");
    expect(template?.render({ messages: [{ role: "user", content: "hi" }] })).toBe(`${START}hi`);
    expect(opened.generation).toEqual({
      ...{ temperature: 0.7, topK: 20, topP: 0.8, minP: 0.1, maxNewTokens: 50 },
      ...{ eosIds: [257, 3], padId: undefined, bosId: 256 },
    });
    expect(openFiles(path)).toContain(join(path, "model.safetensors"));
    await opened.close();
    expect(openFiles(path)).toEqual([]);
    expect(on.liveBytes).toBe(before);
  });

  it("takes what is not there as it is in the original library", async () => {
    await using bare = await openModelDirectory(await made("bare"), { device: on });
    expect(bare.tokenizer).toBeUndefined();
    expect(bare.template).toBeUndefined();
    expect(bare.generation).toEqual({
      ...{ temperature: 0, topK: 50, topP: 1, minP: 0, maxNewTokens: undefined },
      ...{ eosIds: [], padId: undefined, bosId: undefined },
    });
    // the tokenizer knows how a text ends, config.json knows better, generation_config.json best
    const tokenizer = {
      "tokenizer.json": TOKENIZER,
      "tokenizer_config.json": { eos_token: END },
    };
    const path = await made("ends", { files: tokenizer });
    const eosOf = async (): Promise<readonly number[]> => {
      await using opened = await openModelDirectory(path, { device: on });
      return opened.generation.eosIds;
    };
    expect(await eosOf()).toEqual([257]);
    const config = join(path, "config.json");
    const text = readFileSync(config, "utf8");
    writeFileSync(config, text.replace('"eos_token_id": null', '"eos_token_id": 5'));
    expect(await eosOf()).toEqual([5]);
    writeFileSync(join(path, "generation_config.json"), '{"eos_token_id": [6, 7]}');
    expect(await eosOf()).toEqual([6, 7]);
  });

  it("finds the chat template in each of its places, the newest first", async () => {
    const path = await made("templates", { files: { "tokenizer.json": TOKENIZER } });
    const rendered = async (): Promise<string | undefined> => {
      await using opened = await openModelDirectory(path, { device: on });
      return opened.template?.render({ messages: [{ role: "user" }] });
    };
    expect(await rendered()).toBeUndefined();
    writeFileSync(join(path, "chat_template.json"), '{"chat_template": "from its JSON"}');
    expect(await rendered()).toBe("from its JSON");
    writeFileSync(join(path, "tokenizer_config.json"), '{"chat_template": "from the config"}');
    expect(await rendered()).toBe("from the config");
    writeFileSync(join(path, "chat_template.jinja"), "from its own file");
    expect(await rendered()).toBe("from its own file");
  });

  it("says what is wrong with a directory that is none", async () => {
    const file = join(folder, "file");
    writeFileSync(file, "");
    const empty = join(folder, "empty");
    mkdirSync(empty);
    for (const [path, why] of [
      [join(folder, "nowhere"), "does not exist"],
      [file, "is a file"],
      [empty, "no config.json"],
    ] as const) {
      const error = await errorOf(openModelDirectory(path, { device: on }));
      expect(error).toMatchObject({ code: "model_not_found" });
      expect(error.message).toContain(path);
      expect(error.message).toContain(why);
    }
  });

  it("leaves no file open and no byte on the GPU when it fails", async () => {
    const path = await made("cut", { maxShardBytes: 10_000 });
    const shards = readdirSync(path).filter((name) => name.endsWith(".safetensors"));
    const last = join(path, shards.at(-1) as string);
    const bytes = readFileSync(last);
    writeFileSync(last, bytes.fill(0xff, bytes.length - 8));
    const before = on.liveBytes;
    const error = await errorOf(openModelDirectory(path, { device: on }));
    expect(error).toMatchObject({ code: "checkpoint_invalid" });
    expect(error.message).toContain(last);
    expect(openFiles(path)).toEqual([]);
    expect(on.liveBytes).toBe(before);
  });
});

describe("saveModelDirectory", () => {
  it("keeps every file of a model that was read, and leaves other weights behind", async () => {
    for (const name of ["llama2", "gemma2"]) {
      const source = join(folder, `source-${name}`);
      mkdirSync(source);
      for (const [file, content] of contents(join(golden, name)))
        writeFileSync(join(source, file), content, "latin1");
      rmSync(join(source, "expected.safetensors"));
      writeFileSync(join(source, "tokenizer.model"), Uint8Array.of(0, 255, 10));
      writeFileSync(join(source, "special_tokens_map.json"), "{}");
      const kept = contents(source);
      writeFileSync(join(source, "pytorch_model.bin"), "old");
      writeFileSync(join(source, ".hidden"), "");
      mkdirSync(join(source, "onnx"));
      await using from = await openModelDirectory(source, { device: on });
      const path = join(folder, `deep/er/saved-${name}`);
      await saveModelDirectory(from.model, path, { from });
      expect(contents(path)).toEqual(kept);
      const again = join(folder, `f16-${name}`);
      await saveModelDirectory(from.model, again, { from, dtype: "F16" });
      const config = JSON.parse(readFileSync(join(again, "config.json"), "utf8"));
      expect(config).toEqual({ ...from.model.config, dtype: "float16" });
      expect([...contents(again).keys()]).toEqual([...kept.keys()]);
    }
  });

  it("takes nothing's place but that of a model, and only when it is told to", async () => {
    const path = await made("target");
    const before = contents(path);
    expect(await rejectionOf(made("target"))).toBe("argument_invalid");
    expect(contents(path)).toEqual(before);
    writeFileSync(join(path, "stale.txt"), "");
    await made("target", { overwrite: true, files: { "new.txt": "text" } });
    expect([...contents(path).keys()]).toEqual(["config.json", "model.safetensors", "new.txt"]);

    const refused = async (name: string): Promise<string> =>
      (await errorOf(made(name, { overwrite: true }))).message;
    const other = join(folder, "other");
    mkdirSync(other);
    writeFileSync(join(other, "thesis.txt"), "irreplaceable");
    expect(await refused("other")).toContain("no config.json");
    mkdirSync(join(path, ".git"));
    expect(await refused("target")).toContain(".git");
    writeFileSync(join(folder, "plain"), "");
    expect(await refused("plain")).toContain("is a file");
    expect(contents(other).get("thesis.txt")).toBe("irreplaceable");
    mkdirSync(join(folder, "vacant"));
    expect([...contents(await made("vacant")).keys()]).toContain("model.safetensors");
  });

  it("replaces what a link points to, also the directory that the model was read from", async () => {
    const path = await made("linked");
    const link = join(folder, "link");
    symlinkSync(path, link, "dir");
    const opened = await openModelDirectory(link, { device: on });
    const norm = namedParameters(opened.model.transformer).get("norm.weight") as State;
    norm.write(on, new Float32Array(16).fill(3));
    const before = contents(path);
    await saveModelDirectory(opened.model, link, { from: opened, overwrite: true });
    await opened.close();
    expect(readlinkSync(link)).toBe(path);
    expect(contents(path).get("config.json")).toBe(before.get("config.json"));
    expect(contents(path).get("model.safetensors")).not.toBe(before.get("model.safetensors"));
    await using again = await openModelDirectory(path, { device: on });
    const saved = namedParameters(again.model.transformer).get("norm.weight") as State;
    expect(await saved.read()).toEqual(new Float32Array(16).fill(3));
  });

  it("leaves the old one, and nothing else, when it fails", async () => {
    const path = await made("kept");
    const [before, beside] = [contents(path), readdirSync(folder).sort()];
    await using opened = await openModelDirectory(path, { device: on });
    const norm = namedParameters(opened.model.transformer).get("norm.weight") as State;
    norm.write(on, new Float32Array(16).fill(Number.NaN));
    const again = saveModelDirectory(opened.model, path, { overwrite: true });
    expect(await rejectionOf(again)).toBe("non_finite");
    const anew = saveModelDirectory(opened.model, join(folder, "never"));
    expect(await rejectionOf(anew)).toBe("non_finite");
    expect(contents(path)).toEqual(before);
    expect(readdirSync(folder).sort()).toEqual(beside);
  });

  it("is saved once at a time", async () => {
    const both = await Promise.allSettled([made("twice"), made("twice")]);
    expect(both.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    const path = join(folder, "twice");
    expect([...contents(path).keys()]).toEqual(["config.json", "model.safetensors"]);
    expect(readdirSync(folder).filter((name) => name.startsWith(".twice"))).toEqual([]);
  });

  it("gives a directory its name back that was put aside when its writer was killed", async () => {
    const path = await made("aside");
    const before = contents(path);
    const aside = join(folder, ".aside.old");
    renameSync(path, aside);
    const opened = await openModelDirectory(path, { device: on });
    await opened.close();
    expect(contents(path)).toEqual(before);
    renameSync(path, aside);
    expect(await rejectionOf(made("aside"))).toBe("argument_invalid");
    expect(contents(path)).toEqual(before);
  });

  it("refuses names of further files that are paths, or the model's own", async () => {
    for (const name of ["../up", "a/b", "", ".", "config.json", "model.safetensors", "a\\b"]) {
      expect(await rejectionOf(made("never", { files: { [name]: "" } }))).toBe("argument_invalid");
    }
    expect(existsSync(join(folder, "never"))).toBe(false);
  });

  it("says where it cannot write", async () => {
    writeFileSync(join(folder, "wall"), "");
    const error = await errorOf(made("wall/model"));
    expect(error).toMatchObject({ code: "argument_invalid" });
    expect(error.message).toContain("wall");
  });
});

describe.skipIf(!existsSync(stories))(
  `stories260K${existsSync(stories) ? "" : ` ${ABSENT}`}`,
  () => {
    it("goes on as its authors published", async () => {
      await using opened = await openModelDirectory(stories, { device: on });
      const { transformer } = opened.model;
      const { eosIds, bosId } = opened.generation;
      expect([eosIds, bosId]).toEqual([[2], 1]);
      // doc/stories260K.md of karpathy/llama2.c: `./run stories260K.bin -t 0.0`
      const text =
        "Once upon a time, there was a little girl named Lily. She loved to play outside";
      const ids = (opened.tokenizer as Tokenizer).encode(text);
      expect(ids[0]).toBe(1);
      expect(ids.length).toBeGreaterThan(20);
      const forest = chainForest([ids.length]);
      const next = compile(
        (input: Tensor) => argMax(transformer.logits(transformer.hidden(input, forest))),
        { device: on },
      );
      const chosen = await (await next(tensor(Uint32Array.from(ids)))).read();
      expect([...chosen].slice(0, -1)).toEqual(ids.slice(1));
    });
  },
);
