/** A model from a hub into the cache: what is there already stays, the rest is downloaded and verified. */
import { link, mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { withFileLock } from "../disk/file-lock.ts";
import { commitFolder, modelFolder, noteCached, PART_SUFFIX } from "./cache.ts";
import { filesMatching, filesOfModel, SHARD_INDEX } from "./choose.ts";
import { checkRoom, diskError } from "./disk.ts";
import { type DownloadOptions, downloadFile, isSame, makeFolderOf, sizeOf } from "./download.ts";
import { type Listing, listRepository, type RemoteFile } from "./listing.ts";
import { type Repository, repositoryOf } from "./repository.ts";
import { RETRY_POLICY, type RetryOptions, type RetryPolicy } from "./retry.ts";

/** How to pull, and who wants to know. */
export interface PullOptions {
  /** Address of the hub. Default: `HF_ENDPOINT`, or https://huggingface.co. */
  readonly endpoint?: string;
  /** Take the files that match these globs, in the place of those that a model directory needs. */
  readonly include?: readonly string[];
  /** Take all files. */
  readonly all?: boolean;
  /** Hash the files that are there already; those that are damaged are downloaded again. */
  readonly verify?: boolean;
  /** Files at a time, from 1. Default 4. */
  readonly parallel?: number;
  readonly retry?: Partial<RetryPolicy>;
  /** Ends the pull; what has come by then is kept. The pull then throws the signal's reason. */
  readonly signal?: AbortSignal;
  /** Called once it is known how many bytes there will be, and how many of them are there. */
  readonly onStart?: (total: number, there: number) => void;
  /** Called with the number of bytes that have come, and with a negative one for bytes that must come again. */
  readonly onBytes?: (bytes: number) => void;
  /** Called with what a person may want to know: waits, files that are damaged. */
  readonly onNote?: (line: string) => void;
}

/** A model that is in the cache now. */
export interface PulledModel {
  readonly id: string;
  readonly revision: string;
  /** The commit that the revision stands for, 40 hexadecimal digits. */
  readonly commit: string;
  readonly directory: string;
  readonly files: readonly RemoteFile[];
  /** Bytes of files that came over the network, those that had to come twice counted twice. */
  readonly downloadedBytes: number;
  /** Bytes of files that were there. */
  readonly reusedBytes: number;
}

const PARALLEL = 4;

/**
 * Pulls `org/name` or `org/name@revision`: the files that a model directory needs, or those of `include` or `all`.
 *
 * A file that an earlier commit has too is linked, not downloaded. Only one pull of a model runs at a time on a machine.
 * Throws `argument_invalid`, `package_missing`, `hub_not_found`, `hub_gated`, `hub_unauthorized`, `hub_unreachable`,
 * `hub_answer_invalid`, `hash_mismatch` or `disk_full`; whatever happens, the next pull goes on from there.
 */
export async function pullModel(name: string, options: PullOptions = {}): Promise<PulledModel> {
  const repository = repositoryOf(name, options.endpoint);
  const { id, revision } = repository;
  const stop = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
  const retry: RetryOptions = {
    policy: { ...RETRY_POLICY, ...options.retry },
    signal,
    onWait: ({ summary }, ms) =>
      options.onNote?.(`${summary}; again in ${(ms / 1000).toFixed(1)} s`),
  };
  const folder = modelFolder(id);
  try {
    const listing = await listRepository(repository, { ...retry, policy: asking(retry.policy) });
    const { commit } = listing;
    const directory = commitFolder(id, commit);
    await mkdir(directory, { recursive: true });
    const waiting = (holder: string): void =>
      options.onNote?.(`waiting for another pull of ${id} (process ${holder})`);
    return await withFileLock(join(folder, "lock"), signal, waiting, async () => {
      const transfer = new Transfer(repository, listing, options, retry, stop);
      const files = await transfer.run();
      // A part of a model is no model.
      if (!options.include) noteCached(repository, commit);
      const { downloadedBytes, reusedBytes } = transfer;
      return { id, revision, commit, directory, files, downloadedBytes, reusedBytes };
    });
  } catch (error) {
    throw diskError(signal.aborted ? signal.reason : error, folder);
  }
}

/** Nothing is lost yet by giving up, and who is offline wants to know it soon. */
function asking(policy: RetryPolicy): RetryPolicy {
  return { ...policy, attempts: Math.min(policy.attempts, 4) };
}

/** The files of one pull on their way. */
class Transfer {
  readonly #repository: Repository;
  readonly #listing: Listing;
  readonly #directory: string;
  readonly #options: PullOptions;
  readonly #download: DownloadOptions;
  /** Ends all downloads when one of them fails. */
  readonly #stop: AbortController;
  readonly #brought = new Set<RemoteFile>();
  downloadedBytes = 0;
  reusedBytes = 0;

  constructor(
    repository: Repository,
    listing: Listing,
    options: PullOptions,
    retry: RetryOptions,
    stop: AbortController,
  ) {
    this.#repository = repository;
    this.#listing = listing;
    this.#directory = commitFolder(repository.id, listing.commit);
    this.#options = options;
    this.#stop = stop;
    const onBytes = (bytes: number): void => {
      if (bytes > 0) this.downloadedBytes += bytes;
      options.onBytes?.(bytes);
    };
    this.#download = { ...retry, repository, commit: listing.commit, onBytes };
  }

  /** Brings what is wanted and not there; returns all that was wanted. */
  async run(): Promise<readonly RemoteFile[]> {
    const files = await this.#choose();
    const missing: RemoteFile[] = [];
    let total = 0;
    let there = 0;
    for (const file of files) {
      total += file.size;
      if (await this.#isThere(file)) {
        there += file.size;
        if (!this.#brought.has(file)) this.reusedBytes += file.size;
      } else {
        const part = (await sizeOf(`${this.#pathOf(file)}${PART_SUFFIX}`)) ?? 0;
        there += part > file.size ? 0 : part;
        missing.push(file);
      }
    }
    await checkRoom(this.#directory, total - there);
    this.#options.onStart?.(total, there);
    await this.#bring(missing);
    return files;
  }

  async #choose(): Promise<readonly RemoteFile[]> {
    const { files } = this.#listing;
    const { include, all } = this.#options;
    if (include) return filesMatching(files, include);
    if (all) return files;
    const index = files.find(({ path }) => path === SHARD_INDEX);
    if (!index) return filesOfModel(this.#repository, files, undefined);
    if (!(await this.#isThere(index))) await this.#bring([index]);
    return filesOfModel(this.#repository, files, await readFile(this.#pathOf(index), "utf8"));
  }

  /** Whether a file is there under its final name, which it may get here from another commit. */
  async #isThere(file: RemoteFile): Promise<boolean> {
    const path = this.#pathOf(file);
    if ((await sizeOf(path)) !== file.size) return this.#linkOther(file);
    if (!this.#options.verify || (await isSame(path, file))) return true;
    this.#options.onNote?.(`${file.path} is damaged; downloading it again`);
    await rm(path);
    return false;
  }

  async #linkOther(file: RemoteFile): Promise<boolean> {
    const folder = modelFolder(this.#repository.id);
    for (const name of await readdir(folder)) {
      const other = join(folder, name, file.path);
      if (!/^[0-9a-f]{40}$/.test(name) || !(await isSame(other, file))) continue;
      await makeFolderOf(this.#directory, file);
      return link(other, this.#pathOf(file)).then(
        () => true,
        () => false, // the disk knows no such links, or something else has the name
      );
    }
    return false;
  }

  async #bring(files: readonly RemoteFile[]): Promise<void> {
    const queue = files.values();
    const worker = async (): Promise<void> => {
      for (const file of queue) {
        const reused = await downloadFile(this.#directory, file, this.#download);
        this.reusedBytes += reused;
        this.#brought.add(file);
      }
    };
    const workers = Array.from({ length: this.#options.parallel ?? PARALLEL }, async () => {
      await worker().catch((error: unknown) => this.#stop.abort(error));
    });
    await Promise.all(workers);
    this.#download.signal.throwIfAborted();
  }

  #pathOf(file: RemoteFile): string {
    return join(this.#directory, file.path);
  }
}
