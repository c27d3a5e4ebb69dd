import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const script = join(import.meta.dirname, "../../../deploy/slurm.sbatch");

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "forge-gpu-slurm-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function program(name: string, lines: readonly string[]): void {
  writeFileSync(join(folder, name), `${lines.join("\n")}\n`);
  chmodSync(join(folder, name), 0o755);
}

/** What srun does of what the script needs: two tasks, each with its variables, none of which ends the other. */
const SRUN = [
  "#!/usr/bin/env bash",
  'printf "%s\\n" "$@" > "$FOLDER/flags"',
  "while [[ $1 == --* ]]; do shift; done",
  "for task in 0 1; do",
  '  SLURM_PROCID=$task SLURMD_NODENAME=n$task "$@" &',
  "  tasks[task]=$!",
  "done",
  "code=0",
  'for task in "${tasks[@]}"; do wait "$task" || code=$?; done',
  "exit $code",
];

/** A node whose n-th life ends as the n-th word of `codes` says. */
const NODE = [
  "#!/usr/bin/env bash",
  'lives="$FOLDER/lives$SLURM_PROCID"',
  'echo "$*" >> "$lives"',
  'codes=($(cat "$FOLDER/codes"))',
  'code=${codes[$(wc -l < "$lives") - 1]:-0}',
  "if [[ $code == KILL ]]; then kill -KILL $$; fi",
  "exit $code",
];

/** A node that ends by itself only when it is told to, with 75, and at once when it is told in the same way again. */
const PATIENT = [
  `#!${process.execPath}`,
  "const end = new AbortController();",
  'for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, () => end.abort());',
  "const life = setInterval(() => {}, 1000);",
  'end.signal.addEventListener("abort", () => {',
  "  clearInterval(life);",
  "  process.exitCode = 75;",
  '  console.log("told", process.pid, process.ppid);',
  '  setTimeout(() => console.log("left"), 200);',
  "});",
  'console.log("up", process.pid, process.ppid);',
];

function batch(...args: readonly string[]): ChildProcess {
  const env = {
    ...process.env,
    PATH: `${folder}:${process.env["PATH"]}`,
    FOLDER: folder,
    FORGE_TOKEN_FILE: "/token",
    FORGE_PAUSE: "0",
    FORGE_LISTEN: "",
  };
  return spawn("bash", [script, ...args], {
    env,
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
}

async function run(codes: string, ...args: readonly string[]): Promise<number | null> {
  program("srun", SRUN);
  program("forge-gpu", NODE);
  writeFileSync(join(folder, "codes"), codes);
  const child = batch(...args);
  const log = text(child.stderr as NonNullable<typeof child.stderr>);
  child.stdout?.resume();
  await once(child, "exit");
  await log;
  return child.exitCode;
}

const livesOf = (task: number): string[] =>
  readFileSync(join(folder, `lives${task}`), "utf8")
    .trimEnd()
    .split("\n");

describe("deploy/slurm.sbatch", () => {
  it("starts a node for each task, on its host, with what it was given", async () => {
    expect(await run("0", "forge.yaml", "--set", "train.prompt=a b")).toBe(0);
    expect(livesOf(0)).toEqual(["node --resume --listen=n0 forge.yaml --set train.prompt=a b"]);
    expect(livesOf(1)).toEqual(["node --resume --listen=n1 forge.yaml --set train.prompt=a b"]);
    const flags = readFileSync(join(folder, "flags"), "utf8").split("\n").slice(0, 3);
    expect(flags).toEqual(["--no-kill", "--kill-on-bad-exit=0", "--wait=0"]);
  });

  it("starts a node again after exit code 75, or when it was killed, until it is done", async () => {
    expect(await run("75 KILL 75 139 0", "forge.yaml")).toBe(0);
    expect(livesOf(0)).toHaveLength(5);
    expect(livesOf(1)).toHaveLength(5);
  });

  it.each([1, 2, 78])("leaves it at exit code %d", async (code) => {
    expect(await run(`75 ${code}`, "forge.yaml")).toBe(code);
    expect(livesOf(0)).toHaveLength(2);
  });

  it.each<["the task alone" | "the node, and then its task" | "all processes of the job"]>([
    ["the task alone"],
    ["the node, and then its task"],
    ["all processes of the job"],
  ])("leaves when Slurm sends SIGTERM to %s, and starts nothing again", async (whom) => {
    program("srun", SRUN);
    program("forge-gpu", PATIENT);
    const child = batch("forge.yaml");
    const stderr = text(child.stderr as NonNullable<typeof child.stderr>);
    const said: string[] = [];
    const lines = createInterface(child.stdout as NonNullable<typeof child.stdout>);
    const ended = Promise.all([once(lines, "close"), once(child, "exit")]);
    lines.on("line", (line) => {
      const [word = "", node, task] = line.split(" ");
      said.push(word);
      const areUp = said.filter((one) => one === "up").length === 2;
      if (whom === "all processes of the job") {
        if (word === "up" && areUp) process.kill(-Number(child.pid), "SIGTERM");
      } else if (word === "up") {
        process.kill(Number(whom === "the task alone" ? task : node), "SIGTERM");
      } else if (word === "told" && whom === "the node, and then its task") {
        process.kill(Number(task), "SIGTERM");
      }
    });
    await ended;
    expect(await stderr).not.toContain("restart");
    expect(said.toSorted()).toEqual(["left", "left", "told", "told", "up", "up"]);
    // the task waits for its node; here srun itself was not asked to end
    if (whom !== "all processes of the job") expect(child.exitCode).toBe(75);
  });

  it("does not start without a token file", async () => {
    const child = spawn("bash", [script], { env: { PATH: process.env["PATH"] } });
    const log = await text(child.stderr);
    expect(log).toContain("FORGE_TOKEN_FILE");
    expect(existsSync(join(folder, "flags"))).toBe(false);
  });
});
