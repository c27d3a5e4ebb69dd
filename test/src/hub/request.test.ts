import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { type Listing, listRepository } from "../../../src/hub/listing.ts";
import { pullModel } from "../../../src/hub/pull.ts";
import { repositoryOf } from "../../../src/hub/repository.ts";
import { RETRY_POLICY, retryAfterMs } from "../../../src/hub/retry.ts";
import { codeOf, errorOf, rejectionOf } from "../../support/errors.ts";
import { type Fault, modelFiles, TestHub } from "../../support/hub.ts";
import { useEmptyCache } from "../../support/hub-cache.ts";

const TOKEN = "hf_secret-of-nobody";
const scratch = useEmptyCache();
const retry = { attempts: 2, firstWaitMs: 1 };

async function list(hub: TestHub, name = "org/name", stallMs = 60_000): Promise<Listing> {
  const { signal } = new AbortController();
  const policy = { ...RETRY_POLICY, ...retry, stallMs };
  const repository = repositoryOf(name, hub.endpoint);
  return listRepository(repository, { policy, signal, onWait: () => undefined });
}

describe("the token", () => {
  it("comes from HF_TOKEN, then from the file of Python's hub", () => {
    const token = (): string | undefined => repositoryOf("org/name").token;
    expect(token()).toBeUndefined();
    mkdirSync(join(scratch(), "hf"));
    writeFileSync(join(scratch(), "hf/token"), `${TOKEN}\n`);
    expect(token()).toBe(TOKEN);
    writeFileSync(join(scratch(), "other"), "hf_other");
    vi.stubEnv("HF_TOKEN_PATH", join(scratch(), "other"));
    expect(token()).toBe("hf_other");
    vi.stubEnv("HF_TOKEN", " hf_environment ");
    expect(token()).toBe("hf_environment");
  });

  it("lies in the user's cache by default", () => {
    vi.stubEnv("HF_HOME", "");
    vi.stubEnv("XDG_CACHE_HOME", scratch());
    mkdirSync(join(scratch(), "huggingface"));
    writeFileSync(join(scratch(), "huggingface/token"), TOKEN);
    expect(repositoryOf("org/name").token).toBe(TOKEN);
  });

  it("goes to the hub and to no other host", async () => {
    vi.stubEnv("HF_TOKEN", TOKEN);
    await using hub = await TestHub.open(modelFiles(), { tokens: [TOKEN] });
    await pullModel("org/name", { endpoint: hub.endpoint });
    const sent = (origin: string): readonly unknown[] => [
      ...new Set(hub.requests.filter((r) => r.origin === origin).map((r) => r.authorization)),
    ];
    expect(sent("hub")).toEqual([`Bearer ${TOKEN}`]);
    expect(sent("files")).toEqual([undefined]);
  });

  it.each([
    ["the next page", (to: string): Fault => ({ headers: { link: `<${to}/x>; rel="next"` } })],
    ["a redirect", (to: string): Fault => ({ status: 307, headers: { location: `${to}/x` } })],
  ])("does not follow %s to another host", async (_, fault) => {
    vi.stubEnv("HF_TOKEN", TOKEN);
    await using hub = await TestHub.open(modelFiles(), { tokens: [TOKEN] });
    hub.fail("tree", fault(hub.filesOrigin), fault(hub.filesOrigin));
    expect(await rejectionOf(list(hub))).toBe("hub_unreachable");
    const elsewhere = hub.requests.filter(({ origin }) => origin === "files");
    expect(elsewhere).toHaveLength(2);
    expect(elsewhere.map(({ authorization }) => authorization)).toEqual([undefined, undefined]);
  });

  it("is never printed", async () => {
    vi.stubEnv("HF_TOKEN", TOKEN);
    await using hub = await TestHub.open(modelFiles(), { tokens: ["hf_another"] });
    const refused = await errorOf(list(hub));
    expect(refused).toMatchObject({ code: "hub_unauthorized" });
    vi.stubEnv("HF_TOKEN", `${TOKEN}\nhf_second`);
    const odd = await errorOf(list(hub));
    expect(odd).toMatchObject({ code: "argument_invalid" });
    expect(`${refused.stack}${odd.stack}`).not.toContain("secret");
  });
});

describe("the endpoint", () => {
  it("is that of HF_ENDPOINT, or the one that everybody knows", () => {
    expect(repositoryOf("org/name").endpoint).toBe("https://huggingface.co");
    vi.stubEnv("HF_ENDPOINT", "http://mirror.example:8080/hf/");
    expect(repositoryOf("org/name").endpoint).toBe("http://mirror.example:8080/hf");
  });

  it.each(["hub.example", "ftp://hub.example", "http://", "https://hub.example/?a=b", "file:///"])(
    "is not %s",
    (endpoint) => {
      expect(codeOf(() => repositoryOf("org/name", endpoint))).toBe("argument_invalid");
    },
  );

  it("has no password, and shows none", async () => {
    const made = async () => repositoryOf("org/name", "https://user:secret@hub.example");
    const error = await errorOf(made());
    expect(error).toMatchObject({ code: "argument_invalid" });
    expect(error.message).not.toContain("secret");
  });
});

describe("what a hub refuses", () => {
  it("is a revision or a model that it does not have", async () => {
    await using hub = await TestHub.open();
    const revision = await errorOf(list(hub, "org/name@v9"));
    expect(revision).toMatchObject({ code: "hub_not_found" });
    expect(revision.message).toContain("no revision v9");
    expect(await rejectionOf(list(hub, "org/other"))).toBe("hub_not_found");
  });

  it("is a gated model: the error says where to accept the conditions", async () => {
    await using hub = await TestHub.open(modelFiles(), { isGated: true });
    const anonymous = await errorOf(list(hub));
    expect(anonymous).toMatchObject({ code: "hub_gated" });
    expect(anonymous.message).toContain("HF_TOKEN");
    vi.stubEnv("HF_TOKEN", TOKEN);
    const known = await errorOf(list(hub));
    expect(known).toMatchObject({ code: "hub_gated" });
    expect(known.message).toContain(`${hub.endpoint}/org/name`);
  });

  it("is a private model: the error says how to set a token", async () => {
    await using hub = await TestHub.open(modelFiles(), { tokens: [TOKEN] });
    const error = await errorOf(list(hub));
    expect(error).toMatchObject({ code: "hub_unauthorized" });
    expect(error.message).toMatch(/set HF_TOKEN .*\/settings\/tokens/);
  });
});

describe("an answer that no hub gives", () => {
  it.each<[string, string, Fault]>([
    ["a web page", "revision", { status: 200, body: "<html>sign in</html>" }],
    ["no commit", "revision", { status: 200, body: '{"_id": "1", "id": "org/name"}' }],
    ["a path as a commit", "revision", { status: 200, body: '{"sha": "../../.."}' }],
    ["null", "revision", { status: 200, body: "null" }],
    ["files that are no list", "tree", { status: 200, body: "{}" }],
    ["a file that is none", "tree", { status: 200, body: "[null]" }],
    ["an odd status", "tree", { status: 418 }],
    ["a redirect to a file", "tree", { status: 302, headers: { location: "file:///etc/passwd" } }],
    ["a redirect to nowhere", "tree", { status: 302, headers: { location: "http://" } }],
    ["a redirect to no place", "tree", { status: 302 }],
  ])("is refused: %s", async (_, what, fault) => {
    await using hub = await TestHub.open();
    hub.fail(what, fault);
    expect(await rejectionOf(list(hub))).toBe("hub_answer_invalid");
  });

  it("is refused: redirects without an end", async () => {
    await using hub = await TestHub.open();
    const again = { status: 302, headers: { location: "/api/models/org/name/revision/main" } };
    hub.fail("revision", ...Array.from({ length: 50 }, () => again));
    expect(await rejectionOf(list(hub))).toBe("hub_answer_invalid");
    expect(hub.requests.length).toBeLessThan(20);
  });

  it("is left when it never ends", async () => {
    await using hub = await TestHub.open();
    const silent: Fault = { stallAfter: 0 };
    hub.fail("revision", silent, silent);
    expect(await rejectionOf(list(hub, "org/name", 200))).toBe("hub_unreachable");
  });

  const sha = "0".repeat(40);
  it.each([
    ...["../config.json", "a/../../config.json", "/etc/passwd", "a//b", "./a", "a/.", "", "a/"],
    ...["..\\config.json", "C:\\config.json", "a\u0000b", "a\nb", "\u001b[2J", "a\u0085b"],
  ])("is refused: the file name %j", async (path) => {
    const claims = [{ type: "file", path, size: 1, oid: sha }];
    await using hub = await TestHub.open(modelFiles(), { claims });
    expect(await rejectionOf(list(hub))).toBe("hub_answer_invalid");
    expect(await rejectionOf(pullModel("org/name", { endpoint: hub.endpoint, all: true }))).toBe(
      "hub_answer_invalid",
    );
  });

  it.each([
    { path: "a", size: -1, oid: sha },
    { path: "a", size: 0.5, oid: sha },
    { path: "a", size: "1", oid: sha },
    { path: "a", oid: sha },
    { path: "a", size: 1, oid: "abc" },
    { path: "a", size: 1 },
    { path: 7, size: 1, oid: sha },
    { path: "config.json", size: 1, oid: sha },
  ])("is refused: the file %j", async (entry) => {
    await using hub = await TestHub.open(modelFiles(), { claims: [{ type: "file", ...entry }] });
    expect(await rejectionOf(list(hub))).toBe("hub_answer_invalid");
  });

  it("may name a file like a part of one, which is left out", async () => {
    const claims = [{ type: "file", path: "config.json.incomplete", size: 1, oid: sha }];
    await using hub = await TestHub.open(modelFiles(), { claims });
    const { files } = await list(hub);
    expect(files.map(({ path }) => path).sort()).toEqual(Object.keys(modelFiles()).sort());
  });
});

describe("retryAfterMs", () => {
  it("reads seconds and dates", () => {
    expect(retryAfterMs("7")).toBe(7000);
    const date = new Date(Date.now() + 60_000).toUTCString();
    expect(retryAfterMs(date)).toBeGreaterThan(58_000);
    expect(retryAfterMs(date)).toBeLessThanOrEqual(60_000);
    expect(retryAfterMs(new Date(0).toUTCString())).toBe(0);
  });
  it("reads nothing else", () => {
    expect([null, "", "soon", "-1x"].map(retryAfterMs)).toEqual(Array(4).fill(undefined));
  });
});
