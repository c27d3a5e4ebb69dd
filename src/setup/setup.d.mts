/** The Vulkan driver with which WebGPU gives an adapter in Node. */
export interface VulkanRecord {
  /** The driver's manifest, to name in VK_ICD_FILENAMES; null when Dawn finds its adapter by itself. */
  readonly icd: string | null;
  /** A Vulkan loader to load before Dawn; null when the system has one. */
  readonly loader: string | null;
  /** Where the driver comes from, in words. */
  readonly source: string;
  /** What the adapter says of itself. */
  readonly adapter: {
    readonly vendor: string;
    readonly architecture: string;
    readonly device: string;
    readonly description: string;
  };
  /** Digest of what the answer depends on; another one means that it must be found anew. */
  readonly key: string;
}

/** The browser of the browser tests. */
export interface ChromiumRecord {
  readonly path: string;
  /** A folder of shared libraries that it needs and the machine lacks. */
  readonly libraries: string | null;
  readonly source: string;
  readonly version: string;
  readonly key: string;
}

/** The NATS server of the tests of clusters. */
export interface NatsRecord {
  readonly path: string;
  readonly version: string;
  readonly key: string;
}

/** What the set-up is asked for. */
export interface SetUpOptions {
  /** Whether a Chromium is wanted too. Default false. */
  readonly browser?: boolean;
  /** Whether a NATS server is wanted too; where there can be none, that is said, and is no problem. Default false. */
  readonly nats?: boolean;
  /** Whether to leave the system alone and install into the user's cache only. Default false. */
  readonly user?: boolean;
  /** Takes one short line for each thing done. Default: write it to stderr. */
  readonly say?: (line: string) => void;
}

/** What the set-up did and found. */
export interface SetUpResult {
  readonly ok: boolean;
  /** What did not work, and what the person can do. */
  readonly problems: readonly { readonly what: string; readonly fix: string }[];
  readonly vulkan: VulkanRecord | null;
  readonly chromium: ChromiumRecord | null;
  readonly nats: NatsRecord | null;
}

/** Installs, builds and brings whatever is missing. Does nothing, quickly, when nothing is. */
export function setUp(options?: SetUpOptions): SetUpResult;

/** What an earlier set-up recorded, if it still holds. */
export function readRecords(): {
  readonly vulkan: VulkanRecord | null;
  readonly chromium: ChromiumRecord | null;
  readonly nats: NatsRecord | null;
};
