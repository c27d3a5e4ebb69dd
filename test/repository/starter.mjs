/** What a newcomer does first, with the packed package: begins a project, trains its agent, evaluates it, looks at the run. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { serveInstalled } from "./local-registry.mjs";

/** A run of seconds: the starter's own takes a minute or two. */
const SHORT = [
  ...["train.steps=2", "train.warmStart.steps=10", "optimizer.warmupSteps=1"],
  ...["rollout.groupsPerStep=2", "rollout.slots=2", "eval.every=2", "eval.tasks=4"],
].flatMap((setting) => ["--set", setting]);

/**
 * @param {object} given
 * @param {string} given.root of the repository, whose installed packages stand in for the registry
 * @param {string} given.bin of an installed forge-gpu
 * @param {string} given.tarball
 * @param {string} given.folder empty, outside of the repository
 * @param {(claim: boolean, sentence: string) => void} given.expect
 */
export async function checkStarter({ root, bin, tarball, folder, expect }) {
  const registry = await serveInstalled(root);
  try {
    const env = {
      ...process.env,
      npm_config_registry: registry.url,
      npm_config_cache: join(folder, ".npm"),
      npm_config_update_notifier: "false",
    };
    await output(bin, ["init", "my-agent", "--package", tarball], { cwd: folder, env });
  } finally {
    registry.close();
  }
  const cwd = join(folder, "my-agent");
  const own = join(cwd, "node_modules", ".bin", "forge-gpu");
  expect(
    ["agent.ts", "forge.yaml", ".gitignore"].every((name) => readdirSync(cwd).includes(name)),
    "forge-gpu init makes a project of the tarball, and installs it",
  );
  const typescript = join(root, "node_modules/typescript/bin/tsc");
  await output(process.execPath, [typescript, "-p", "."], { cwd });
  expect(true, "its agent compiles");

  const trained = JSON.parse(await output(own, ["train", "--json", ...SHORT], { cwd }));
  expect(
    trained.ended === "done" && trained.before.tasks.length === 4 && trained.after !== null,
    "it trains, and compares before and after",
  );
  const played = JSON.parse(await output(own, ["eval", "--run", "--json", ...SHORT], { cwd }));
  expect(
    played.policy.checkpoint.step === 2 &&
      JSON.stringify(played.tasks) === JSON.stringify(trained.after.tasks),
    "it evaluates what was trained, and finds the same",
  );
  await checkDashboard({ own, cwd, expect });
}

/** @param {{ own: string, cwd: string, expect: (claim: boolean, sentence: string) => void }} given */
async function checkDashboard({ own, cwd, expect }) {
  const child = spawn(own, ["dashboard", "--json", "--port", "0"], {
    ...{ cwd, stdio: ["ignore", "pipe", "inherit"] },
  });
  const ended = once(child, "exit");
  try {
    let said = "";
    for await (const piece of child.stdout) {
      said += piece;
      if (said.trimEnd().endsWith("}")) break;
    }
    const { url } = JSON.parse(said);
    const page = await (await fetch(url)).text();
    const [, script = ""] = /<script[^>]* src="([^"]+)"/.exec(page) ?? [];
    const { status } = await fetch(new URL(script, url));
    expect(script !== "" && status === 200, "its dashboard is there, script and all");
    /** @param {string} path */
    const ask = async (path) => JSON.parse(await (await fetch(new URL(path, url))).text());
    const { runs } = await ask("/api/runs");
    expect(runs.length === 1 && runs[0].name === "prices", "and knows the run");
    const { rows } = await ask(`/api/runs/${runs[0].id}/rollouts`);
    expect(rows.length > 0, "and its rollouts");
  } finally {
    child.kill("SIGINT");
  }
  const [code] = await ended;
  expect(code === 0, "and ends by Ctrl-C");
}

/**
 * What a program prints; its failure is an error.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ cwd: string, env?: NodeJS.ProcessEnv }} options
 * @returns {Promise<string>}
 */
async function output(command, args, options) {
  const child = spawn(command, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
  const [[code], stdout, stderr] = await Promise.all([
    once(child, "exit"),
    text(child.stdout),
    text(child.stderr),
  ]);
  if (code !== 0) throw new Error(`${command} ${args.join(" ")}\n${stdout}${stderr}`);
  return stdout;
}
