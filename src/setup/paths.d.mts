/** The folder of forge-gpu's own package.json. */
export function projectRoot(): string;

/** Whether a folder is a source tree (it can install and build itself) and not an installed package. */
export function isSourceTree(root: string): boolean;

/** The folder for what the set-up brings and remembers, for this user. */
export function cacheFolder(): string;

/** Whether the module of `url` is the program that was started. */
export function isMain(url: string): boolean;
