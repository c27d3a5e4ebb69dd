/**
 * A Hugging Face hub on the loopback: the model API, the paged tree, and `resolve`, which sends large files to a second
 * origin as the real one does. It writes down what it was asked, and fails where it is told to.
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** The files of a commit by their paths. */
export type HubFiles = Readonly<Record<string, Uint8Array | string>>;

/** What one answer does that it should not do. */
export interface Fault {
  /** This status in the place of an answer. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** What is said with the status. */
  readonly body?: string;
  /** The connection is cut after so many bytes. */
  readonly cutAfter?: number;
  /** Nothing comes after so many bytes, and the connection stays open. */
  readonly stallAfter?: number;
  /** These bytes in the place of the file's. */
  readonly data?: Uint8Array;
  readonly ignoresRange?: boolean;
}

/** One request as the hub saw it. */
export interface HubRequest {
  readonly origin: "hub" | "files";
  /** `revision`, `tree`, or the path of a file. */
  readonly what: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
  /** Bytes of the file that were sent. */
  sent: number;
}

/** What a test hub is like. */
export interface HubOptions {
  /** Only these tokens may read; without them, everybody may. */
  readonly tokens?: readonly string[];
  /** Whether readers must have accepted conditions, which no token has. */
  readonly isGated?: boolean;
  /** What the tree claims to hold beside the files that are there. */
  readonly claims?: readonly object[];
}

const PAGE = 3;
const PIECE = 16 * 1024;
/** Larger files are large ones, kept apart and known by their SHA-256. */
const LARGE = 1000;

const sha256 = (data: Uint8Array): string => createHash("sha256").update(data).digest("hex");
const blobSha = (data: Uint8Array): string =>
  createHash("sha1").update(`blob ${data.length}\0`).update(data).digest("hex");

/** The hash that the hub promises for a file. */
export function promisedSha(data: Uint8Array | string): string {
  const bytes = Buffer.from(data);
  return bytes.length > LARGE ? sha256(bytes) : blobSha(bytes);
}

/** Bytes that look random and are the same in every run. */
export function noise(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0, x = seed | 1; i < length; i++) {
    x = (Math.imul(x, 1_664_525) + 1_013_904_223) | 0;
    bytes[i] = x >>> 24;
  }
  return bytes;
}

/** The files of a small model whose weights are in two shards. */
export function modelFiles(bytes = 200_000): HubFiles {
  const shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] as const;
  return {
    "config.json": '{"model_type": "llama"}\n',
    "tokenizer.json": JSON.stringify({ model: { vocab: { a: 0 } } }),
    "model.safetensors.index.json": JSON.stringify({
      weight_map: { "a.weight": shards[0], "b.weight": shards[1] },
    }),
    [shards[0]]: noise(bytes, 1),
    [shards[1]]: noise(bytes / 2, 2),
    "pytorch_model.bin": noise(5000, 3),
    "README.md": "# a model\n",
    "original/consolidated.safetensors": noise(2000, 4),
  };
}

/** A hub with one model, `org/name`. */
export class TestHub {
  readonly id = "org/name";
  readonly requests: HubRequest[] = [];
  /** Bytes per second of each answer; without a limit by default. */
  rate = Number.POSITIVE_INFINITY;
  readonly #options: HubOptions;
  readonly #commits = new Map<string, ReadonlyMap<string, Buffer>>();
  readonly #revisions = new Map<string, string>();
  readonly #faults = new Map<string, Fault[]>();
  readonly #hub: Server;
  readonly #files: Server;

  private constructor(options: HubOptions) {
    this.#options = options;
    this.#hub = createServer((request, response) => void this.#serveHub(request, response));
    this.#files = createServer((request, response) => void this.#serveFiles(request, response));
  }

  /** A hub that listens, with one commit. */
  static async open(files: HubFiles = modelFiles(), options: HubOptions = {}): Promise<TestHub> {
    const hub = new TestHub(options);
    hub.commit(files);
    for (const server of [hub.#hub, hub.#files]) {
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
    }
    return hub;
  }

  /** Makes a commit, to which `revision` points from now on, and returns it. */
  commit(files: HubFiles, revision = "main"): string {
    const entries = Object.entries(files).map(([path, data]) => [path, Buffer.from(data)] as const);
    const id = createHash("sha1").update(JSON.stringify(entries)).digest("hex");
    this.#commits.set(id, new Map(entries));
    this.#revisions.set(revision, id);
    return id;
  }

  /** The next answers about `what` (`revision`, `tree`, or the path of a file) have these faults, one each. */
  fail(what: string, ...faults: readonly Fault[]): void {
    this.#faults.set(what, [...(this.#faults.get(what) ?? []), ...faults]);
  }

  /** Address of the hub. */
  get endpoint(): string {
    return addressOf(this.#hub);
  }

  /** Address of the host of large files. */
  get filesOrigin(): string {
    return addressOf(this.#files);
  }

  /** Bytes of all files, or of one, that were sent so far. */
  sent(path?: string): number {
    const asked = this.requests.filter(({ what }) => path === undefined || what === path);
    return asked.reduce((sum, { sent }) => sum + sent, 0);
  }

  /** Waits until so many bytes of a file have been sent. */
  async untilSent(path: string, bytes: number): Promise<void> {
    while (this.sent(path) < bytes) await sleep(5);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of [this.#hub, this.#files]) {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    }
  }

  async #serveHub(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "", this.endpoint);
    const [, what = "", rest = ""] =
      /^\/api\/models\/org\/name\/(revision|tree)\/(.*)$/.exec(url.pathname) ??
      /^\/org\/name\/(resolve)\/(.*)$/.exec(url.pathname) ??
      [];
    const [revision = "", ...parts] = rest.split("/").map(decodeURIComponent);
    const path = parts.join("/");
    const asked = this.#note("hub", what === "resolve" ? path : what, request);
    const fault = path === "" || !this.#isLarge(revision, path) ? this.#fault(asked) : {};
    if (fault.status !== undefined) return fail(response, fault);
    for (const [name, value] of Object.entries(fault.headers ?? {}))
      response.setHeader(name, value);
    if (path === "" && fault.stallAfter !== undefined) return;
    if (what === "") return refuse(response, 404, { "x-error-code": "RepoNotFound" });
    if (this.#refuses(response, asked)) return;

    const commit = this.#revisions.get(revision) ?? revision;
    const files = this.#commits.get(commit);
    if (!files) return refuse(response, 404, { "x-error-code": "RevisionNotFound" });
    if (what === "revision") return json(response, { _id: "1", id: this.id, sha: commit });
    if (what === "tree") return this.#serveTree(response, files, url);
    const data = files.get(path);
    if (!data) return refuse(response, 404, { "x-error-code": "EntryNotFound" });
    response.setHeader("x-repo-commit", commit);
    if (data.length > LARGE) {
      response.setHeader("x-linked-etag", `"${sha256(data)}"`);
      response.setHeader("x-linked-size", data.length);
      const target = `${this.filesOrigin}/${commit}/${encodeURIComponent(path)}?signature=key`;
      response.writeHead(302, { location: target }).end();
      return;
    }
    response.setHeader("etag", `"${blobSha(data)}"`);
    await this.#send(request, response, data, fault, asked);
  }

  async #serveFiles(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "", this.filesOrigin);
    const [commit = "", path = ""] = url.pathname.slice(1).split("/").map(decodeURIComponent);
    const asked = this.#note("files", path, request);
    const fault = this.#fault(asked);
    if (fault.status !== undefined) return fail(response, fault);
    const data = this.#commits.get(commit)?.get(path);
    if (!data) return refuse(response, 404);
    response.setHeader("etag", `"${sha256(data)}"`);
    await this.#send(request, response, data, fault, asked);
  }

  #isLarge(commit: string, path: string): boolean {
    return (this.#commits.get(commit)?.get(path)?.length ?? 0) > LARGE;
  }

  #note(origin: HubRequest["origin"], what: string, { headers }: IncomingMessage): HubRequest {
    const { range, authorization } = headers;
    const asked: HubRequest = { origin, what, range, authorization, sent: 0 };
    this.requests.push(asked);
    return asked;
  }

  #fault({ what }: HubRequest): Fault {
    return this.#faults.get(what)?.shift() ?? {};
  }

  #refuses(response: ServerResponse, { authorization }: HubRequest): boolean {
    const { tokens, isGated } = this.#options;
    const token = authorization?.replace(/^Bearer /, "");
    if (isGated) {
      refuse(response, token ? 403 : 401, { "x-error-code": "GatedRepo" });
    } else if (tokens && !tokens.includes(token ?? "")) {
      const message = token
        ? "Invalid credentials in Authorization header"
        : "Invalid username or password.";
      refuse(response, 401, { "x-error-message": message });
    } else return false;
    return true;
  }

  #serveTree(response: ServerResponse, files: ReadonlyMap<string, Buffer>, url: URL): void {
    const from = Number(url.searchParams.get("cursor") ?? 0);
    const entries = [...files].slice(from, from + PAGE).map(([path, data]) => {
      const isLarge = data.length > LARGE;
      const lfs = { oid: sha256(data), size: data.length, pointerSize: 130 };
      const oid = isLarge ? blobSha(Buffer.from("the pointer")) : blobSha(data);
      return { type: "file", path, size: data.length, oid, ...(isLarge && { lfs }) };
    });
    if (from + PAGE < files.size && !response.hasHeader("link")) {
      url.searchParams.set("cursor", String(from + PAGE));
      response.setHeader("link", `<${url.href}>; rel="next"`);
    }
    const folder = { type: "directory", path: "original", size: 0, oid: "0".repeat(40) };
    json(response, [folder, ...entries, ...(from === 0 ? (this.#options.claims ?? []) : [])]);
  }

  async #send(
    request: IncomingMessage,
    response: ServerResponse,
    file: Buffer,
    fault: Fault,
    asked: HubRequest,
  ): Promise<void> {
    const data = fault.data === undefined ? file : Buffer.from(fault.data);
    const [, start] = /^bytes=(\d+)-/.exec(request.headers.range ?? "") ?? [];
    const isPart = start !== undefined && fault.ignoresRange !== true;
    const from = isPart ? Number(start) : 0;
    if (isPart && from >= data.length) {
      return refuse(response, 416, { "content-range": `bytes */${data.length}` });
    }
    if (isPart) {
      response.setHeader("content-range", `bytes ${from}-${data.length - 1}/${data.length}`);
    }
    response.writeHead(isPart ? 206 : 200, { "content-length": data.length - from });
    const stop = Math.min(data.length, from + (fault.cutAfter ?? fault.stallAfter ?? data.length));
    for (let at = from; at < stop && !response.destroyed; ) {
      const piece = data.subarray(at, Math.min(stop, at + PIECE));
      // Only what is out of this process counts: a connection that is cut loses what is buffered.
      await new Promise<void>((done) => response.write(piece, () => done()));
      at += piece.length;
      asked.sent += piece.length;
      if (Number.isFinite(this.rate)) await sleep((1000 * piece.length) / this.rate);
    }
    if (fault.cutAfter !== undefined) {
      await sleep(20); // a reset overtakes what is on its way
      response.destroy();
    } else if (fault.stallAfter === undefined) response.end();
  }
}

function addressOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function json(response: ServerResponse, body: unknown): void {
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));
}

function fail(response: ServerResponse, { status = 500, headers = {}, body = "" }: Fault): void {
  response.writeHead(status, headers).end(body);
}

function refuse(
  response: ServerResponse,
  status: number,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, headers).end();
}
