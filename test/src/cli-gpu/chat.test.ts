import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { forgeGpu, startForgeGpu } from "../../support/command.ts";
import { saveTinyModel } from "../../support/model-folder.ts";

const folder = mkdtempSync(join(tmpdir(), "forge-gpu-chat-"));
const tiny = join(folder, "tiny");
beforeAll(async () => {
  (await saveTinyModel(tiny))[Symbol.dispose]();
  return () => rmSync(folder, { recursive: true, force: true });
});

describe("forge-gpu chat", () => {
  it("answers each line of a pipe, and computes only what is new", async () => {
    const lines = [
      "One?",
      "",
      "Two?",
      "/system",
      "/system Be brief.",
      "//Three?",
      "/what",
      "/quit",
      "Four?",
    ];
    const args = ["chat", tiny, "--verbose", "--system", "Be kind.", "--temperature", "0.2"];
    const { code, stdout, stderr } = await forgeGpu(args, `${lines.join("\n")}\n`);
    expect(code, stderr).toBe(0);
    expect(stdout).toContain("\nBe kind.\n");
    expect(stderr).toContain("a new conversation");
    expect(stderr).toContain("there is no /what; /help lists the commands");
    const turns = [
      ...stderr.matchAll(
        /(\d+) new of (\d+) tokens · (\d+) in the cache · (\d+) sampled \((\w+)\)/g,
      ),
    ].map(([, ...figures]) => figures);
    expect(turns).toHaveLength(3);
    const [[first, all, , sampled, end], [added, total, cached], [third, anew]] = turns.map(
      (turn) => turn.map((figure) => Number(figure) || figure),
    ) as [(string | number)[], (string | number)[], (string | number)[]];
    // "<|im_start|>" and "<|im_end|>" are a token each, all else bytes
    const turn = (role: string, text: string): number => role.length + text.length + 4;
    const opening = "assistant".length + 2;
    expect(first).toBe(turn("system", "Be kind.") + turn("user", "One?") + opening);
    expect(all).toBe(first);
    const closing = end === "stop" ? 1 : 2;
    expect(added).toBe(closing + turn("user", "Two?") + opening);
    expect(total).toBe(Number(first) + Number(sampled) + Number(added));
    expect(cached).toBe(Number(first) + Number(sampled) - 1);
    // the slash that says that it is no command is not said
    expect(third).toBe(turn("system", "Be brief.") + turn("user", "/Three?") + opening);
    expect(anew).toBe(third);
  });

  it("stops an answer at Ctrl-C, and goes on with the next line", async () => {
    const args = ["chat", tiny, "--verbose", "--greedy", "--max-tokens", "16000"];
    const { child, done } = startForgeGpu([...args, "--length", "16384"], "One?\nTwo?\n");
    let heard = 0;
    // each answer is stopped as soon as it is heard
    const onData = (): void => {
      child.stdout?.removeListener("data", onData);
      heard++;
      child.kill("SIGINT");
    };
    child.stdout?.on("data", onData);
    child.stderr?.on("data", (text: Buffer) => {
      if (text.includes("(cancelled)")) child.stdout?.on("data", onData);
    });
    const { code, stderr } = await done;
    expect(code, stderr).toBe(0);
    expect(heard).toBe(2);
    const sampled = [...stderr.matchAll(/(\d+) sampled \(cancelled\)/g)].map(([, n]) => Number(n));
    expect(sampled).toHaveLength(2);
    expect(Math.max(...sampled)).toBeLessThan(8000);
  });

  it("needs a chat template", async () => {
    const plain = join(folder, "plain");
    (await saveTinyModel(plain))[Symbol.dispose]();
    rmSync(join(plain, "chat_template.jinja"));
    const { code, stdout, stderr } = await forgeGpu(["chat", plain], "Hello\n");
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toContain("[template_invalid] this model has no chat template");
    expect(stderr).toContain(`forge-gpu generate ${plain}`);
  });
});
