import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { ForgeError } from "../../../engine/error.ts";
import { mul } from "../../../engine/index.ts";
import { importModule } from "../../../src/train/config/import-module.ts";
import { type LoadConfigOptions, loadConfig } from "../../../src/train/config/load.ts";
import { loadEnvironment } from "../../../src/train/config/load-environment.ts";
import type { TrainConfig } from "../../../src/train/config/types.ts";
import { errorOf, rejectionOf } from "../../support/errors.ts";

const folder = mkdtempSync(join(tmpdir(), "forge-gpu-config-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;

/** Writes a file in a folder of its own, and gives its path. */
function file(name: string, text: string): string {
  const own = join(folder, String(files++));
  mkdirSync(own);
  writeFileSync(join(own, name), text);
  return join(own, name);
}

const load = async (path: string, options?: LoadConfigOptions): Promise<TrainConfig> =>
  (await loadConfig(path, options)).config;

const ENVIRONMENT = `import { defineEnvironment } from "forge-gpu";
interface Task { readonly word: string }
export const environment = defineEnvironment<Task>({
  name: "words",
  tasks: { train: [{ word: "a" }] },
  prompt: (task: Task): string => task.word,
  rewards: { right: ({ text, task }) => Number(text === task.word) },
});
`;

describe("loadConfig", () => {
  it.each([
    ["run.yaml", "model: { directory: ./m }\nenvironment: ./env.ts\ntrain: { steps: 7 }\n"],
    [
      "run.yml",
      "# a comment\nmodel: { directory: ./m }\nenvironment: ./env.ts\ntrain:\n  steps: 7\n",
    ],
    ["run.json", '{"model":{"directory":"./m"},"environment":"./env.ts","train":{"steps":7}}'],
    [
      "run.config.mjs",
      'export default { model: { directory: "./m" }, environment: "./env.ts", train: { steps: 7 } };',
    ],
    [
      "run.config.ts",
      `import { defineConfig, type TrainConfigInput } from "forge-gpu";
const steps: number = await Promise.resolve(7);
export default defineConfig({ model: { directory: "./m" }, environment: "./env.ts", train: { steps } }) satisfies TrainConfigInput;`,
    ],
  ])("reads %s, and names the run after it", async (name, text) => {
    const config = await load(file(name, text));
    expect(config).toMatchObject({ name: "run", environment: "./env.ts", train: { steps: 7 } });
  });

  it("says where the file is, from which its paths are meant", async () => {
    const path = file("a.yaml", "model: { directory: ./m }\nenvironment: ./env.ts\n");
    const loaded = await loadConfig(path, { overrides: ["rollout.topP=0.9"] });
    expect(loaded).toMatchObject({ file: path, directory: join(path, "..") });
    expect(loaded.warnings).toEqual([expect.stringContaining("rollout.topK")]);
  });

  it("takes environments, losses and advantages as they are", async () => {
    const text = `${ENVIRONMENT}
import { defineConfig } from "forge-gpu";
import { mul } from "forge-gpu/engine";
const algorithm = { name: "mine", advantage: () => ({ advantages: [] }), loss: mul, per: "request" };
export default defineConfig({ model: { directory: "./m" }, environment, algorithm });`;
    const { environment, algorithm } = await load(file("own.ts", text));
    expect(environment).toMatchObject({ name: "words", trainCount: 1 });
    expect(algorithm).toMatchObject({ name: "mine", advantage: expect.any(Function) });
    // the very op of this process: another copy of the engine would make nodes of another graph
    expect((algorithm as { loss: unknown }).loss).toBe(mul);
  });

  it("sets keys from outside", async () => {
    const path = file("a.yaml", "model: { directory: ./m }\nenvironment: ./env.ts\n");
    const overrides = ["train.steps=3", "optimizer.betas.1=0.5", "name=other", "train.steps=4"];
    expect(await load(path, { overrides })).toMatchObject({
      name: "other",
      train: { steps: 4 },
      optimizer: { betas: [0.9, 0.5] },
    });
  });

  it("names the line of a mistake", async () => {
    const path = file(
      "a.yaml",
      "model: { directory: ./m }\nenvironment: ./e.ts\ntrain:\n  stepz: 3\n",
    );
    const { message } = await errorOf(load(path, { overrides: ["seed=-1"] }));
    expect(message).toContain("train.stepz: no such key; did you mean train.steps? (line 4)");
    expect(message).toContain("seed: expected whole number from 0, got -1 (by --set)");
  });

  it.each([
    ["a.yaml", "a: [1\nb: 2\n", /line 2, column 1/],
    ["a.yaml", "seed: 1\nseed: 2\n", /unique.*line 2/],
    ["a.yaml", "seed: *nobody\n", /nobody/],
    ["a.json", '{"seed": 1,, }', /line 1, column 12/],
    ["a.toml", "seed = 1", /\.toml/],
    ["a.yaml", "", /expected sections and keys/],
    ["a.ts", "export const x = 1;", /exports x/],
    ["a.ts", "export default 3;", /expected sections and keys/],
    ["a.ts", "export default {;", /Unexpected token/],
    ["a.ts", 'throw new Error("from within");', /from within/],
    ["a.ts", 'import "./nowhere.ts";', /nowhere/],
  ])("says what is wrong with %s of %j", async (name, text, reason) => {
    const error = await errorOf(load(file(name, text)));
    expect(error).toBeInstanceOf(ForgeError);
    expect((error as ForgeError).code).toBe("config_invalid");
    expect(error.message).toMatch(reason);
  });

  it.each(["gone.yaml", "gone.ts"])("says that %s is not there", async (name) => {
    const { message } = await errorOf(load(join(folder, name)));
    expect(message).toContain(`ENOENT: no such file or directory, open '${join(folder, name)}'`);
  });
});

describe("loadEnvironment", () => {
  it("takes the export `environment`, else the default", async () => {
    expect(await loadEnvironment(file("e.ts", ENVIRONMENT))).toMatchObject({ name: "words" });
    const other = ENVIRONMENT.replace("export const environment =", "export default");
    expect(await loadEnvironment(file("e.ts", other))).toMatchObject({ name: "words" });
  });

  it.each([
    ["export const world = 1; export const moon = 2;", "exports moon, world"],
    ["export const environment = { name: 'x', tasks: {} };", "exports environment"],
    ["", "no exports"],
  ])("says what %j exports instead", async (text, got) => {
    const path = file("e.ts", text);
    expect(await rejectionOf(loadEnvironment(path))).toBe("config_invalid");
    const { message } = await errorOf(loadEnvironment(path));
    expect(message).toContain(path);
    expect(message).toContain(got);
  });
});

describe("importModule", () => {
  it("gives a module the ForgeError of this process", async () => {
    const exports = await importModule(file("m.ts", 'export { ForgeError } from "forge-gpu";'));
    expect(exports["ForgeError"]).toBe(ForgeError);
  });
});
