/** The sandbox of examples/files-agent, with the real server. */
import { existsSync, readdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { ChatTemplate } from "../../../engine/index.ts";
import { filesAgent } from "../../../examples/files-agent/environment.ts";
import { type Files, Sandbox } from "../../../examples/files-agent/sandbox.ts";
import { type BoundTools, openTools } from "../../../src/agent/tool/bound-tools.ts";
import { validateEnvironment } from "../../../src/train/episode/validation.ts";
import { languageOf } from "../../../src/train/policy/language.ts";
import { newTokenizer } from "../../../src/train/policy/new-tokenizer.ts";

let sandbox = new Sandbox();
afterEach(async () => {
  await sandbox.close();
  sandbox = new Sandbox();
});

/** Tools of an episode whose folder holds a file `a`; what is left of it goes to `left`. */
function open(left: Files[] = []): Promise<BoundTools> {
  const source = sandbox.episode({ a: "hello", "filed/": "" }, (files) => left.push(files));
  return openTools(source, { seed: 0, signal: new AbortController().signal });
}

async function said(tools: BoundTools, name: string, input: object): Promise<string> {
  const calls = [{ id: "c", name, input }];
  const [answer] = await tools.run({ requestIndex: 0, role: "main", calls, malformed: [] });
  return answer?.content ?? "";
}

describe("the sandbox of files-agent", () => {
  it("is worked in by paths from the folder of the episode, and looked at when it ends", async () => {
    const left: Files[] = [];
    const tools = await open(left);
    expect(await said(tools, "read_text_file", { path: "a" })).toBe("hello");
    expect(await said(tools, "write_file", { path: "b", content: "x" })).toBe(
      "Successfully wrote to b",
    );
    expect(await said(tools, "move_file", { source: "a", destination: "filed/a" })).toBe(
      "Successfully moved a to filed/a",
    );
    expect(await said(tools, "read_text_file", { path: "a" })).toMatch(/^error: ENOENT.*'a'$/);
    expect(await said(tools, "list_directory", { path: "." })).toBe("[FILE] b\n[DIR] filed");
    expect(readdirSync(sandbox.root)).toHaveLength(1);
    await tools.close();
    expect(left).toEqual([{ b: "x", "filed/a": "hello" }]);
    expect(readdirSync(sandbox.root)).toEqual([]);
  });

  it("is not left: the server refuses what is outside, by any way there", async () => {
    const tools = await open();
    const [folder] = readdirSync(sandbox.root) as [string];
    symlinkSync("/etc", join(sandbox.root, folder, "link"));
    for (const path of ["/etc/passwd", "../../../etc/passwd", "link/passwd"]) {
      expect(await said(tools, "read_text_file", { path })).toMatch(
        /^error: Access denied - (?:path|symlink target) outside allowed directories/,
      );
    }
    const away = { source: "a", destination: "../../a" };
    expect(await said(tools, "move_file", away)).toMatch(/^error: Access denied/);
    expect(await said(tools, "read_text_file", { path: "a" })).toBe("hello");
    expect(tools.records.filter(({ status }) => status === "error")).toHaveLength(4);
  });

  it("keeps episodes out of each other's folders, with one server for all", async () => {
    const [one, two] = await Promise.all([open(), open()]);
    const folders = readdirSync(sandbox.root);
    expect(folders).toHaveLength(2);
    const paths = folders.flatMap((name) => [`../${name}/a`, join(sandbox.root, name, "a")]);
    const answers = await Promise.all(
      [one, two].map((tools) =>
        Promise.all(paths.map((path) => said(tools, "read_text_file", { path }))),
      ),
    );
    // each sees its own by both ways, and no other
    for (const each of answers) {
      expect(each.filter((text) => text === "hello")).toHaveLength(2);
      expect(each.filter((text) => text.startsWith("error: Access denied"))).toHaveLength(2);
    }
    expect(await said(one, "list_directory", { path: ".." })).toMatch(/^error: Access denied/);
  });

  it("is gone when the environment is closed, and its right answers are successes", async () => {
    const { tokenizer, files } = newTokenizer({ kind: "bytes", chat: true });
    const template = ChatTemplate.from({
      template: files["chat_template.jinja"] as string,
      config: files["tokenizer_config.json"] as object,
    });
    const environment = filesAgent(sandbox);
    const language = languageOf({ tokenizer, template }, 512);
    const { root } = sandbox;
    expect(await validateEnvironment(environment, language)).toBe(8);
    expect(existsSync(root)).toBe(true);
    await environment.close();
    expect(existsSync(root)).toBe(false);
  });
});
