import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { text } from "node:stream/consumers";
import { build } from "esbuild";
import { afterAll, describe, expect, it, onTestFinished } from "vitest";
import { type McpTarget, type McpTools, mcp } from "../../../src/agent/mcp.ts";
import type { ToolCallRecord } from "../../../src/agent/message.ts";
import { type BoundTools, openTools } from "../../../src/agent/tool/bound-tools.ts";
import { codeOf, errorOf, rejectionOf } from "../../support/errors.ts";

const repository = resolve(import.meta.dirname, "../../..");
const require = createRequire(import.meta.url);
const FILES = require.resolve("@modelcontextprotocol/server-filesystem/dist/index.js");
const EVERYTHING = require.resolve("@modelcontextprotocol/server-everything/dist/index.js");
const STUBBORN = join(import.meta.dirname, "stubborn-server-child.mjs");
const command = process.execPath;

/** A server's tools, gone when the test is over. */
function server(...given: Parameters<typeof mcp>): McpTools {
  const source = mcp(...given);
  onTestFinished(() => source.close());
  return source;
}

function open(source: McpTools, timeoutMs = 20_000): Promise<BoundTools> {
  return openTools(source, { seed: 0, signal: new AbortController().signal, timeoutMs });
}

/** What one call comes to. */
async function outcomeOf(
  tools: BoundTools,
  name: string,
  input: unknown = {},
): Promise<ToolCallRecord> {
  const calls = [{ id: "c", name, input }];
  await tools.run({ requestIndex: 0, role: "main", calls, malformed: [] });
  return tools.records.at(-1) as ToolCallRecord;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // a zombie whose parent has not asked yet has ended too
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Waits until none of the processes lives. */
async function untilGone(pids: readonly number[]): Promise<void> {
  await expect.poll(() => pids.filter(isAlive), { timeout: 10_000 }).toEqual([]);
}

describe("the filesystem server", () => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "forge-mcp-")));
  const target = { command, args: [FILES, folder] };
  afterAll(() => rmSync(folder, { recursive: true }));

  it("writes and reads files of its folder and of no other", async () => {
    const tools = await open(server(target));
    const path = join(folder, "note.txt");
    expect(await outcomeOf(tools, "write_file", { path, content: "a 😀 note" })).toMatchObject({
      status: "ok",
    });
    expect(readFileSync(path, "utf8")).toBe("a 😀 note");
    expect(await outcomeOf(tools, "read_text_file", { path })).toMatchObject({
      ...{ status: "ok", content: "a 😀 note" },
    });
    expect(await outcomeOf(tools, "read_text_file", { path: "/etc/passwd" })).toMatchObject({
      status: "error",
      content: expect.stringMatching(/^error: Access denied/),
    });
    for (const input of [{}, { path: 3 }, "note.txt", [path], null])
      expect(await outcomeOf(tools, "read_text_file", input)).toMatchObject({
        status: "invalid_input",
      });
    expect(tools.definitions.find(({ name }) => name === "read_text_file")).toMatchObject({
      parameters: { type: "object", required: ["path"] },
    });
    expect(JSON.stringify(tools.definitions)).not.toContain("$schema");
  });

  it("is one for all episodes, and has the tools that are asked for", async () => {
    const source = server(target, {
      include: ["list_directory", "read_file", "write_file"],
      exclude: ["write_file"],
      prefix: "fs_",
    });
    const [a, b] = await Promise.all([open(source), open(source)]);
    expect(source.pids).toHaveLength(1);
    expect(a.definitions.map(({ name }) => name)).toEqual(["fs_read_file", "fs_list_directory"]);
    await a.close();
    expect(await outcomeOf(b, "fs_list_directory", { path: folder })).toMatchObject({
      status: "ok",
    });
    const misspelt = server(target, { include: ["list_folder"] });
    expect(await rejectionOf(open(misspelt))).toBe("argument_invalid");
  });

  it("is one for each episode on demand, and ends with it", async () => {
    const source = server(target, { scope: "episode" });
    const [a, b] = await Promise.all([open(source), open(source)]);
    const pids = source.pids;
    expect(new Set(pids).size).toBe(2);
    await Promise.all([a.close(), b.close()]);
    expect(pids.filter(isAlive)).toEqual([]);
    expect(source.pids).toEqual([]);
  });
});

describe("the everything server", () => {
  it("has pictures, other files and structured answers said in words", async () => {
    const tools = await open(server({ command, args: [EVERYTHING] }));
    expect((await outcomeOf(tools, "get-tiny-image")).content).toMatch(
      /^Here's the image you requested:\n\[image image\/png, \d+ bytes\]\nThe image above/,
    );
    const blob = { resourceType: "Blob", resourceId: 1 };
    expect((await outcomeOf(tools, "get-resource-reference", blob)).content).toMatch(
      /\[resource demo:\/\/resource\/dynamic\/blob\/1 \S+, \d+ bytes\]/,
    );
    expect((await outcomeOf(tools, "get-sum", { a: 2, b: 3 })).content).toContain("is 5");
    expect(tools.definitions.map(({ name }) => name)).not.toContain("simulate-research-query");
  });

  it("is told to stop when a call takes too long, and goes on", async () => {
    const tools = await open(server({ command, args: [EVERYTHING] }, { timeoutMs: 100 }));
    const slow = { duration: 30, steps: 1 };
    expect((await outcomeOf(tools, "trigger-long-running-operation", slow)).status).toBe("timeout");
    expect((await outcomeOf(tools, "echo", { message: "still there" })).content).toContain(
      "still there",
    );
  });

  it("is an error to calls that it does not survive, and comes back in the next episode", async () => {
    const source = server({ command, args: [EVERYTHING] });
    const tools = await open(source);
    const slow = { duration: 30, steps: 1 };
    const calls = Promise.all([
      outcomeOf(tools, "trigger-long-running-operation", slow),
      outcomeOf(tools, "trigger-long-running-operation", slow),
    ]);
    const [pid = 0] = source.pids;
    process.kill(pid, "SIGKILL");
    for (const outcome of await calls)
      expect(outcome).toMatchObject({ status: "error", content: expect.stringMatching(/closed/) });
    expect((await outcomeOf(tools, "echo", { message: "?" })).status).toBe("error");
    expect(source.pids).toEqual([]);
    const next = await open(source);
    expect((await outcomeOf(next, "echo", { message: "!" })).status).toBe("ok");
    expect(source.pids).not.toEqual([pid]);
  });

  it("serves over HTTP too, and may go and come back there", async () => {
    const port = await freePort();
    let http = await overHttp(port);
    const source = server(`http://127.0.0.1:${port}/mcp`);
    const tools = await open(source);
    expect((await outcomeOf(tools, "get-sum", { a: 2, b: 3 })).content).toContain("is 5");
    expect((await outcomeOf(tools, "get-sum", { a: "2" })).status).toBe("invalid_input");
    const slow = outcomeOf(tools, "trigger-long-running-operation", { duration: 30, steps: 1 });
    await new Promise((resolve) => setTimeout(resolve, 100));
    http.kill("SIGKILL");
    expect((await slow).status).toBe("error");
    expect(await rejectionOf(open(source))).toBe("tool_server_failed");
    http = await overHttp(port);
    const next = await open(source);
    expect((await outcomeOf(next, "echo", { message: "!" })).status).toBe("ok");
    await source.close();
    http.kill("SIGKILL");
  });
});

/** The everything server at an address. */
async function overHttp(port: number): Promise<ChildProcess> {
  const child = spawn(command, [EVERYTHING, "streamableHttp"], {
    env: { ...process.env, PORT: String(port) },
    stdio: ["ignore", "ignore", "pipe"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  for await (const said of child.stderr) if (String(said).includes("listening")) break;
  return child;
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  probe.close();
  return port;
}

describe("a server that behaves badly", () => {
  process.env["SOME_API_KEY"] = "secret";
  const source = mcp({ command, args: [STUBBORN], env: { FOR_THE_SERVER: "1" } });
  afterAll(async () => {
    delete process.env["SOME_API_KEY"];
    await source.close();
  });

  it("is borne with", async () => {
    const tools = await open(source);
    expect(tools.definitions.map(({ name }) => name)).toEqual([
      ...["pid_of_child", "huge", "silent", "environment", "__proto__", "odd"],
    ]);
    expect(await outcomeOf(tools, "huge")).toMatchObject({
      ...{ status: "ok", isCut: true },
      content: expect.stringMatching(/^x{16384}\n\[cut: 16384 of 10000000 characters\]$/),
    });
    expect(await outcomeOf(tools, "__proto__")).toMatchObject({ content: "a tool like any other" });
    expect(await outcomeOf(tools, "odd", { a: 1 })).toMatchObject({ content: "fine" });
    expect((await outcomeOf(await open(source, 50), "silent")).status).toBe("timeout");
  });

  it("gets what every process needs of the environment, and no secrets", async () => {
    const { content } = await outcomeOf(await open(source), "environment");
    expect(content.split(" ")).toEqual(expect.arrayContaining(["FOR_THE_SERVER", "PATH"]));
    expect(content).not.toContain("SOME_API_KEY");
  });

  it("ends with all that it has started, although it will not", async () => {
    const child = Number((await outcomeOf(await open(source), "pid_of_child")).content);
    const pids = [...source.pids, child];
    expect(pids).toHaveLength(2);
    expect(pids.filter(isAlive)).toEqual(pids);
    await source.close();
    await untilGone(pids);
  });

  it.each([
    ["by itself", "end", 0, null],
    ["by an error", "error", 1, null],
    ["by a signal", "signal", null, "SIGTERM"],
  ])("ends with the program that started it, which ends %s", async (_, way, code, signal) => {
    const owner = join(import.meta.dirname, "mcp-owner-child.ts");
    const child = spawn(command, ["--import", "tsx", owner, STUBBORN, way], {
      cwd: repository,
      stdio: ["ignore", "pipe", "ignore"],
    });
    const [said, ended] = await Promise.all([text(child.stdout), once(child, "exit")]);
    expect(ended).toEqual([code, signal]);
    const pids = JSON.parse(said) as number[];
    expect(pids).toHaveLength(2);
    await untilGone(pids);
  });
});

describe("a server that is none", () => {
  it.each<[string, McpTarget, RegExp]>([
    ["a command that there is not", "no-such-command-here --flag", /ENOENT/],
    [
      "a command that fails",
      { command, args: ["-e", "console.error('no database'); process.exit(3)"] },
      /it said: no database/,
    ],
    ["a command that ends", { command, args: ["-e", ""] }, /closed/],
    ["an address where nobody listens", "http://127.0.0.1:9/mcp", /fetch failed/],
  ])("is %s", async (_, target, said) => {
    const error = await errorOf(open(server(target)));
    expect(error).toMatchObject({ code: "tool_server_failed" });
    expect(error.message).toMatch(said);
  });

  it("says nothing for too long, or until nobody waits for it any more", async () => {
    const mute = { command, args: ["-e", "process.stdin.resume()"] };
    const slow = server(mute, { connectTimeoutMs: 100 });
    expect(await rejectionOf(open(slow))).toBe("tool_server_failed");
    for (const scope of ["run", "episode"] as const) {
      const episode = new AbortController();
      const opening = openTools(server(mute, { scope }), { seed: 0, signal: episode.signal });
      const reason = new Error("called off");
      setTimeout(() => episode.abort(reason), 50);
      expect(await errorOf(opening)).toBe(reason);
    }
    const source = server(mute);
    const opening = rejectionOf(open(source));
    await source.close();
    expect(await opening).toBe("state_conflict");
  });

  it.each(["", "  ", "'open quote", "http://", { command: " " }, { url: "ftp://a/b" }])(
    "is refused as %j",
    (target) => {
      expect(codeOf(() => mcp(target))).toBe("argument_invalid");
    },
  );

  it("needs the SDK, and says how to install it", async () => {
    const hooks = `
      export async function resolve(name, context, next) {
        if (!name.startsWith("@modelcontextprotocol/sdk")) return next(name, context);
        throw Object.assign(new Error("Cannot find package '" + name + "'"), { code: "ERR_MODULE_NOT_FOUND" });
      }`;
    const dataUrl = (code: string): string => `data:text/javascript,${encodeURIComponent(code)}`;
    const absent = dataUrl(
      `import { register } from "node:module"; register(${JSON.stringify(dataUrl(hooks))});`,
    );
    const owner = join(import.meta.dirname, "mcp-owner-child.ts");
    const child = spawn(command, ["--import", "tsx", "--import", absent, owner, STUBBORN], {
      cwd: repository,
      stdio: ["ignore", "ignore", "pipe"],
    });
    const said = await text(child.stderr);
    expect(said).toContain("[package_missing]");
    expect(said).toContain("npm install @modelcontextprotocol/sdk");
  });
});

describe("mcp", () => {
  it("splits a command line into words", async () => {
    const echo = "process.stderr.write(JSON.stringify(process.argv.slice(1)))";
    const line = `"${command}" -e '${echo}' -- a "b c"  d'e f' ""`;
    expect((await errorOf(open(server(line)))).message).toContain('["a","b c","de f",""]');
  });

  it("bundles for browsers", async () => {
    const { errors, warnings, metafile } = await build({
      absWorkingDir: repository,
      entryPoints: ["src/agent/mcp.ts"],
      ...{ bundle: true, platform: "browser", format: "esm", write: false, metafile: true },
    });
    expect([...errors, ...warnings]).toEqual([]);
    const imports = Object.values(metafile.outputs).flatMap((output) => output.imports);
    expect(imports).toEqual([]);
  });
});
