import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { format, inspect } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { isEqual, Secret } from "../../../../cluster/transport/secret.ts";
import { Token } from "../../../../cluster/transport/token.ts";

const RUN = "00112233445566778899aabbccddeeff";

let directory: string;
const at = (name: string): string => join(directory, name);

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "forge-token-"));
});

afterAll(() => rmSync(directory, { recursive: true }));

describe("a secret", () => {
  it("does not show, however it is printed", () => {
    const secret = Secret.random();
    const token = Token.create();
    const shown = [
      String(secret),
      `${secret}`,
      JSON.stringify({ secret, token }),
      inspect({ secret, token }, { depth: 9, showHidden: true, getters: true }),
      format("%s %o %O %j", secret, secret, token, token),
      inspect(new Error("x", { cause: { secret, token } })),
    ].join("\n");
    expect(shown).toContain("[secret]");
    for (const each of [secret, token.bearer("trainer"), token.bearer("rollout")]) {
      expect(shown).not.toContain(each.reveal());
    }
    expect(Object.keys(secret)).toEqual([]);
  });

  it("is compared whatever the lengths", () => {
    expect(isEqual("a", "a")).toBe(true);
    expect(isEqual("a", "ab")).toBe(false);
    expect(isEqual("", "")).toBe(true);
    const secret = Secret.random();
    expect(secret.isRevealedBy(secret.reveal())).toBe(true);
    expect(secret.isRevealedBy(secret.reveal().toUpperCase())).toBe(false);
    expect(secret.isRevealedBy("")).toBe(false);
  });

  it("keeps its own copy of its bytes", () => {
    const bytes = new Uint8Array(32);
    const secret = new Secret(bytes);
    bytes.fill(1);
    expect(secret.reveal()).toBe("0".repeat(64));
  });
});

describe("a token", () => {
  const warn = (text: string): never => {
    throw new Error(text);
  };

  it("survives its file, which is its owner's alone", async () => {
    const token = Token.create();
    await token.write(at("run"));
    await token.forRollouts.write(at("rollout"));
    expect(statSync(at("run")).mode & 0o777).toBe(0o600);
    const run = await Token.read(at("run"), warn);
    const rollout = await Token.read(at("rollout"), warn);
    expect([run.scope, rollout.scope]).toEqual(["run", "rollout"]);
    expect(run.bearer("trainer").reveal()).toBe(token.bearer("trainer").reveal());
    expect(run.ticketKey(RUN).reveal()).toBe(token.ticketKey(RUN).reveal());
    expect(rollout.bearer("rollout").reveal()).toBe(token.bearer("rollout").reveal());
  });

  it("never goes out itself: what is presented is derived from it", async () => {
    const token = Token.create();
    await token.write(at("derived"));
    const secrets = [
      readFileSync(at("derived"), "utf8").trim(),
      token.bearer("trainer").reveal(),
      token.bearer("rollout").reveal(),
      token.ticketKey(RUN).reveal(),
      token.ticketKey("f".repeat(32)).reveal(),
    ];
    expect(new Set(secrets).size).toBe(secrets.length);
  });

  it("of rollout nodes is good for nothing else", () => {
    const { forRollouts } = Token.create();
    expect(() => forRollouts.bearer("trainer")).toThrowError(/token_invalid/);
    expect(() => forRollouts.ticketKey(RUN)).toThrowError(/token_invalid/);
    expect(forRollouts.forRollouts).toBe(forRollouts);
  });

  it("is not taken from what is none, which no error repeats", async () => {
    const almost = `${"0123456789abcdef".repeat(3)}0123456789abcde`;
    for (const text of ["", almost, `${almost}G`, `trainer:${almost}f`]) {
      writeFileSync(at("bad"), text, { mode: 0o600 });
      const error: Error = await Token.read(at("bad"), warn).then(
        () => new Error("taken"),
        (error: Error) => error,
      );
      expect(error).toMatchObject({ code: "token_invalid" });
      expect(inspect(error)).not.toContain("0123456789abcdef0");
    }
    await expect(Token.read(at("none"))).rejects.toMatchObject({ code: "token_invalid" });
    await expect(Token.read(directory)).rejects.toMatchObject({ code: "token_invalid" });
  });

  it.skipIf(process.platform === "win32")("is not waited for in a file without end", async () => {
    await expect(Token.read("/dev/zero", () => {})).rejects.toMatchObject({
      code: "token_invalid",
    });
  });

  it.skipIf(process.platform === "win32")("warns of a file that others can read", async () => {
    await Token.create().write(at("open"));
    chmodSync(at("open"), 0o640);
    const warnings: string[] = [];
    await Token.read(at("open"), (text) => void warnings.push(text));
    expect(warnings.length).toBe(1);
    expect(warnings[0]).toContain(at("open"));
  });

  it("does not overwrite a file", async () => {
    writeFileSync(at("there"), "mine");
    await expect(Token.create().write(at("there"))).rejects.toMatchObject({
      code: "token_invalid",
    });
    expect(readFileSync(at("there"), "utf8")).toBe("mine");
  });
});
