/** Checkpoints kept in this browser, in IndexedDB: the last few of each demo. Page and worker both use it. */
import type { DemoName } from "./protocol.ts";

/** A kept checkpoint, less its contents. */
export interface KeptCheckpoint {
  readonly id: number;
  readonly demo: DemoName;
  readonly seed: number;
  /** How far training was. */
  readonly label: string;
  /** Milliseconds since 1970. */
  readonly keptAt: number;
}

/** Of each demo: older ones are forgotten. */
const MOST_KEPT = 3;

const LISTED = "checkpoints";
const CONTENTS = "contents";

/** Keeps a checkpoint, and forgets the oldest ones. Errors: those of the browser, such as no room. */
export async function keepCheckpoint(
  kept: Omit<KeptCheckpoint, "id" | "keptAt">,
  contents: unknown,
): Promise<void> {
  await withStores("readwrite", async (listed, stored) => {
    const id = await answer(listed.add({ ...kept, keptAt: Date.now() }));
    await answer(stored.put(contents, id));
    const old = (await newestFirst(listed, kept.demo)).slice(MOST_KEPT);
    for (const { id } of old) {
      await answer(listed.delete(id));
      await answer(stored.delete(id));
    }
  });
}

/** The kept checkpoints of a demo, newest first. */
export async function keptCheckpoints(demo: DemoName): Promise<KeptCheckpoint[]> {
  return withStores("readonly", (listed) => newestFirst(listed, demo));
}

/** What was kept under a number. Errors: when it is not there any more. */
export async function checkpointContents(id: number): Promise<unknown> {
  const contents = await withStores("readonly", (_, stored) => answer(stored.get(id)));
  if (contents !== undefined) return contents;
  throw new Error("This checkpoint is not there any more: another tab has forgotten it.");
}

async function newestFirst(listed: IDBObjectStore, demo: DemoName): Promise<KeptCheckpoint[]> {
  const all: KeptCheckpoint[] = await answer(listed.getAll());
  return all.filter((kept) => kept.demo === demo).reverse();
}

/** Does `work` in one transaction: all of it, or nothing. */
async function withStores<T>(
  mode: IDBTransactionMode,
  work: (listed: IDBObjectStore, stored: IDBObjectStore) => Promise<T>,
): Promise<T> {
  const opening = indexedDB.open("forge-gpu-demo", 1);
  opening.onupgradeneeded = () => {
    opening.result.createObjectStore(LISTED, { keyPath: "id", autoIncrement: true });
    opening.result.createObjectStore(CONTENTS);
  };
  const database = await answer(opening);
  try {
    const transaction = database.transaction([LISTED, CONTENTS], mode);
    const finished = new Promise<void>((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error);
    });
    const result = await work(transaction.objectStore(LISTED), transaction.objectStore(CONTENTS));
    await finished;
    return result;
  } finally {
    database.close();
  }
}

function answer<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
