/**
 * Packs forge-gpu, installs the tarball in an empty project without a network, and uses it there as its users do.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { build } from "esbuild";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { checkStarter } from "./starter.mjs";

const root = resolve(import.meta.dirname, "../..");
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const project = mkdtempSync(join(tmpdir(), "forge-gpu-package-"));
const npmScript = process.env["npm_execpath"];

/**
 * Runs a program; its failure ends this one.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {string} cwd
 * @returns {string} its stdout
 */
function run(command, args, cwd) {
  const done = spawnSync(command, args, { cwd, encoding: "utf8" });
  if (done.status !== 0) {
    throw new Error(
      `${command} ${args.join(" ")}\n${done.stdout}${done.stderr}${done.error ?? ""}`,
    );
  }
  return done.stdout;
}

/** @param {readonly string[]} args @param {string} cwd */
function npm(args, cwd) {
  const own = npmScript?.endsWith("npm-cli.js");
  return own ? run(process.execPath, [npmScript ?? "", ...args], cwd) : run("npm", args, cwd);
}

/** @param {boolean} claim @param {string} sentence */
function expect(claim, sentence) {
  if (!claim) throw new Error(`not so: ${sentence}`);
  process.stdout.write(`${sentence}\n`);
}

try {
  run(process.execPath, ["src/setup/build.mjs"], root);
  const [packed] = JSON.parse(npm(["pack", "--json", "--pack-destination", project], root));
  const tarball = join(project, packed.filename);
  /** @type {string[]} */
  const paths = packed.files.map((/** @type {{ path: string }} */ file) => file.path);

  // The repository's own copies stand in for the registry.
  const packages = Object.keys(manifest.dependencies);
  const local = Object.fromEntries(
    packages.map((name) => [name, `file:${root}/node_modules/${name}`]),
  );
  const app = join(project, "app");
  mkdirSync(app);
  writeFileSync(
    join(app, "package.json"),
    JSON.stringify({
      private: true,
      type: "module",
      dependencies: { ...local, "forge-gpu": `file:${tarball}` },
    }),
  );
  npm(["install", "--offline", "--ignore-scripts", "--no-audit", "--no-fund"], app);
  const installed = join(app, "node_modules", "forge-gpu");

  for (const [name, entry] of Object.entries(manifest.exports)) {
    if (typeof entry === "string") continue;
    const specifier = name.replace(/^\./, "forge-gpu");
    expect(existsSync(join(installed, entry.types)), `${specifier} has types`);
    const script = `console.log(Object.keys(await import("${specifier}")).length)`;
    const names = Number(run(process.execPath, ["--input-type=module", "-e", script], app));
    expect(names > 0, `${specifier} exports ${names} names`);
  }

  const bin = join(app, "node_modules", ".bin", "forge-gpu");
  const version = run(bin, ["--version"], app).trim();
  expect(version === manifest.version, `forge-gpu --version says ${version}`);
  expect(
    paths.some((path) => path.startsWith("shaders/") && path.endsWith(".wgsl")),
    "shaders/ is in the package",
  );
  expect(
    !paths.some((path) => /^(test|examples\/(?!starter\/))/.test(path)),
    "tests and examples are not",
  );

  for (const [command, said] of /** @type {const} */ ([
    ["dashboard", "/api/runs"],
    ["demo", "aria-pressed"],
  ])) {
    const served = spawn(bin, [command, "--port", "0", "--json"], { cwd: app });
    served.stderr.pipe(process.stdout);
    const [announced] = await Promise.race([once(served.stdout, "data"), once(served, "exit")]);
    const { url } = JSON.parse(String(announced));
    const html = await (await fetch(url)).text();
    const [script] = /src="([^"]+)"/.exec(html)?.slice(1) ?? [];
    const program = await (await fetch(new URL(script ?? "none", url))).text();
    served.kill("SIGINT");
    const [code] = await once(served, "exit");
    expect(program.includes(said) && code === 0, `forge-gpu ${command} serves its page`);
  }

  const use = join(app, "use.ts");
  writeFileSync(
    use,
    'export * from "forge-gpu";\nexport * as engine from "forge-gpu/engine";\nexport * as cluster from "forge-gpu/cluster";\n',
  );
  const types = ["--typeRoots", join(root, "node_modules/@types"), "--types", "node"];
  run(
    process.execPath,
    [
      join(root, "node_modules/typescript/bin/tsc"),
      "--ignoreConfig",
      "--noEmit",
      "--strict",
      "--module",
      "nodenext",
      "--target",
      "es2023",
      ...types,
      use,
    ],
    app,
  );
  expect(true, "its types compile in another project");

  writeFileSync(
    join(app, "train.config.ts"),
    `import { defineConfig, defineEnvironment } from "forge-gpu";
import { mul } from "forge-gpu/engine";
const words: readonly string[] = ["a"];
const environment = defineEnvironment({
  name: "words",
  tasks: { train: words },
  prompt: (task) => task,
  rewards: { right: ({ text, task }) => Number(text === task) },
});
const algorithm = { name: "mine", advantage: () => ({ advantages: [] }), loss: mul };
export default defineConfig({ environment, algorithm, model: { directory: "." } });
`,
  );
  const load = `const { loadConfig } = await import("forge-gpu");
const { mul } = await import("forge-gpu/engine");
const { config } = await loadConfig("train.config.ts");
console.log(config.environment.name, config.algorithm.loss === mul);`;
  const loaded = run(process.execPath, ["--input-type=module", "-e", load], app).trim();
  expect(loaded === "words true", "a configuration in TypeScript uses the package that reads it");

  for (const [name, used] of [
    ["forge-gpu/engine", "compile"],
    ["forge-gpu", "Sampler"],
  ]) {
    const page = join(app, "page.ts");
    writeFileSync(
      page,
      `import { openDevice, ${used} } from "${name}";\nconsole.log(openDevice, ${used});\n`,
    );
    const { metafile } = await build({
      entryPoints: [page],
      absWorkingDir: app,
      bundle: true,
      platform: "browser",
      format: "esm",
      write: false,
      metafile: true,
      logLevel: "silent",
    });
    const outside = Object.values(metafile.inputs).flatMap(({ imports }) =>
      // that of an optional peer is passed over
      imports.filter((i) => i.external && !i.path.startsWith("@modelcontextprotocol/sdk/")),
    );
    expect(outside.length === 0, `${name} bundles for browsers without Node's modules`);
  }

  const folder = join(project, "newcomer");
  mkdirSync(folder);
  await checkStarter({ root, bin, tarball, folder, expect });

  const unbuilt = paths.filter(
    (path) =>
      path.endsWith(".js") &&
      /\bimport\("[^"]+\.tsx?"\)/.test(readFileSync(join(installed, path), "utf8")),
  );
  expect(unbuilt.length === 0, `no module imports what was left behind ${unbuilt}`.trim());

  const { messages } = await publint({ pkgDir: installed, strict: true });
  const lines = messages.map((message) => formatMessage(message, manifest, { color: false }));
  expect(lines.length === 0, `publint finds nothing wrong ${lines.join("\n")}`.trim());
} catch (error) {
  process.stdout.write(`${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
} finally {
  rmSync(project, { recursive: true, force: true });
}
