/** What a repository holds, as the hub's own client reads it. */
import { ForgeError } from "../../engine/index.ts";
import { PART_SUFFIX } from "./cache.ts";
import { answerInvalid } from "./refusal.ts";
import type { Repository } from "./repository.ts";
import { hubGet } from "./request.ts";
import { type RetryOptions, retrying } from "./retry.ts";

/** A file on the hub. */
export interface RemoteFile {
  /** Path in the repository, with `/` between its parts; it stays in the folder that it is put in. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** In hexadecimal: the SHA-256 of a large file (64 digits), git's SHA-1 of a small one (40 digits). */
  readonly sha: string;
}

/** A repository at one commit. */
export interface Listing {
  /** 40 hexadecimal digits. */
  readonly commit: string;
  readonly files: readonly RemoteFile[];
}

/** More than any model has; a hub that pages on for ever ends here. */
const MOST_FILES = 100_000;
/** Bytes of one answer with file names. */
const LONGEST_PAGE = 1 << 26;
const COMMIT = /^[0-9a-f]{40}$/;
const SHA = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/;

/**
 * The commit that the revision stands for now, and the files of that commit.
 *
 * Throws `package_missing` without the hub's client, `hub_answer_invalid` on names that would leave their folder, and
 * what {@link hubGet} throws.
 */
export async function listRepository(
  repository: Repository,
  options: RetryOptions,
): Promise<Listing> {
  const { listFiles, modelInfo } = await hubClient();
  const { id, revision, endpoint } = repository;
  const common = { hubUrl: endpoint, fetch: fetchFor(repository, options) };
  const read = <T>(work: () => Promise<T>): Promise<T> =>
    retrying(options, () => work().catch((cause) => Promise.reject(readable(cause, endpoint))));

  const commit = await read(async () => {
    const { sha } = await modelInfo({ name: id, revision, additionalFields: ["sha"], ...common });
    if (COMMIT.test(sha)) return sha;
    throw answerInvalid(endpoint, `the commit ${JSON.stringify(sha)}`);
  });
  const files = await read(async () => {
    const found = new Map<string, RemoteFile>();
    const entries = listFiles({
      repo: { type: "model", name: id },
      revision: commit,
      recursive: true,
      ...common,
    });
    for await (const { type, path, size, oid, lfs } of entries) {
      // A name like that of a part is taken by what is not whole yet.
      if (type !== "file" || path.endsWith(PART_SUFFIX)) continue;
      const file = { path, size: lfs?.size ?? size, sha: lfs?.oid ?? oid ?? "" };
      checkFile(file, endpoint);
      if (found.has(path)) throw answerInvalid(endpoint, `${JSON.stringify(path)} twice`);
      if (found.size === MOST_FILES) throw answerInvalid(endpoint, `more than ${MOST_FILES} files`);
      found.set(path, file);
    }
    return [...found.values()];
  });
  return { commit, files };
}

function checkFile({ path, size, sha }: RemoteFile, endpoint: string): void {
  const parts = typeof path === "string" ? path.split("/") : [""];
  const leaves = parts.some((part) => part === "" || part === "." || part === "..");
  if (leaves || /[\p{Cc}\\]/u.test(path)) {
    throw answerInvalid(endpoint, `the file name ${JSON.stringify(path)}`);
  }
  if (!Number.isSafeInteger(size) || size < 0 || !SHA.test(sha)) {
    throw answerInvalid(endpoint, `size ${size} and hash ${JSON.stringify(sha)} of ${path}`);
  }
}

/** A fetch for the hub's client, which would send a token to whatever address the hub calls the next page. */
function fetchFor(repository: Repository, options: RetryOptions): typeof fetch {
  return (input) => {
    const url = input instanceof Request ? input.url : String(input);
    return hubGet(
      repository,
      url,
      { accept: "application/json" },
      options,
      async (response, body) => {
        const pieces: Uint8Array[] = [];
        let size = 0;
        for await (const piece of body) {
          size += piece.length;
          if (size > LONGEST_PAGE) throw answerInvalid(url, `more than ${LONGEST_PAGE} bytes`);
          pieces.push(piece);
        }
        return new Response(Buffer.concat(pieces), { headers: response.headers });
      },
    );
  };
}

function readable(cause: unknown, endpoint: string): unknown {
  const isJson = cause instanceof SyntaxError || cause instanceof TypeError;
  return isJson ? answerInvalid(endpoint, cause.message) : cause;
}

async function hubClient(): Promise<typeof import("@huggingface/hub")> {
  try {
    return await import("@huggingface/hub");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") throw cause;
    throw new ForgeError({
      code: "package_missing",
      what: "the client of the Hugging Face hub is not installed",
      why: "only pulling models needs it, so forge-gpu does not bring it",
      fix: "npm install @huggingface/hub",
      cause,
    });
  }
}
