/**
 * `forge-gpu pull`: downloads a model from the Hugging Face hub into the cache.
 */
import { Argument, Command, Option } from "commander";
import type { PulledModel } from "../hub/pull.ts";
import { Progress } from "../terminal/progress.ts";
import { bytesText, clockText } from "../terminal/units.ts";
import { INTERRUPTED } from "./interrupt.ts";
import { numberThat, repeated } from "./values.ts";

interface PullCommandOptions {
  readonly include?: readonly string[];
  readonly all?: true;
  readonly verify?: true;
  readonly parallel: number;
  readonly endpoint?: string;
  readonly quiet?: true;
  readonly json?: true;
}

const parallel = numberThat(
  (count) => Number.isInteger(count) && count >= 1 && count <= 64,
  "a whole number from 1 to 64",
);

/** The `pull` command. */
export function pullCommand(): Command {
  return new Command("pull")
    .description("download a model from the Hugging Face hub, and print its directory")
    .addArgument(new Argument("<name>", "org/name or org/name@revision (default revision: main)"))
    .option(
      "--include <glob>",
      "take the files that match, in the place of those that a model needs; may be repeated",
      repeated(String),
    )
    .addOption(new Option("--all", "take all files").conflicts("include"))
    .option("--verify", "hash the files that are there already, and replace those that are damaged")
    .option("--parallel <count>", "files at a time", parallel, 4)
    .option(
      "--endpoint <url>",
      "address of the hub (default: HF_ENDPOINT, or https://huggingface.co)",
    )
    .option("--quiet", "write nothing but errors on stderr")
    .option("--json", "print one JSON document on stdout")
    .addHelpText(
      "after",
      `
Models lie in FORGE_CACHE, or in the user's cache. Ctrl-C keeps what has come:
the same command goes on from there. Private and gated models need a token, in
HF_TOKEN or where \`hf auth login\` has saved it.`,
    )
    .action(pull);
}

async function pull(name: string, options: PullCommandOptions, command: Command): Promise<void> {
  const { repositoryOf } = await import("../hub/repository.ts");
  const { pullModel } = await import("../hub/pull.ts");
  try {
    repositoryOf(name, options.endpoint);
  } catch (error) {
    command.error((error as Error).message, { exitCode: 2 });
  }

  const interrupt = new AbortController();
  const onInterrupt = (): void => interrupt.abort();
  process.once("SIGINT", onInterrupt);
  const show = new PullDisplay(name, options.quiet === true);
  try {
    const model = await pullModel(name, {
      ...options,
      signal: interrupt.signal,
      onStart: (total, there) => show.start(total, there),
      onBytes: (bytes) => show.add(bytes),
      onNote: (line) => show.note(line),
    });
    show.end(model);
    process.stdout.write(`${options.json ? JSON.stringify(model, null, 2) : model.directory}\n`);
  } catch (error) {
    show.end();
    if (!interrupt.signal.aborted) throw error;
    process.stderr.write(
      "interrupted: what has come is kept, and the same command goes on from there\n",
    );
    process.exit(INTERRUPTED); // a connection that is still being made would hold the process
  } finally {
    process.removeListener("SIGINT", onInterrupt);
  }
}

/** A pull on stderr; on nothing, when it is to be quiet. */
class PullDisplay {
  readonly #name: string;
  readonly #isQuiet: boolean;
  readonly #started = performance.now();
  #progress: Progress | undefined;
  #done = 0;

  constructor(name: string, isQuiet: boolean) {
    this.#name = name;
    this.#isQuiet = isQuiet;
  }

  start(total: number, there: number): void {
    this.#done = there;
    if (this.#isQuiet || there === total) return;
    this.#progress = new Progress({ label: this.#name, total, unit: "B", start: there });
  }

  add(bytes: number): void {
    this.#done += bytes;
    this.#progress?.update(this.#done);
  }

  note(line: string): void {
    if (this.#progress) this.#progress.note(line);
    else if (!this.#isQuiet) process.stderr.write(`${line}\n`);
  }

  /** Ends with a summary, or with how far it has come. */
  end(model?: PulledModel): void {
    const summary = model && this.#summary(model);
    if (this.#progress) this.#progress.done(summary);
    else if (summary && !this.#isQuiet) process.stderr.write(`${summary}\n`);
  }

  #summary({ commit, files, downloadedBytes, reusedBytes }: PulledModel): string {
    const time = clockText((performance.now() - this.#started) / 1000);
    const came = downloadedBytes > 0 ? [`${bytesText(downloadedBytes)} downloaded in ${time}`] : [];
    const stayed = reusedBytes > 0 ? [`${bytesText(reusedBytes)} already there`] : [];
    const count = files.length === 1 ? "1 file" : `${files.length} files`;
    return `${this.#name}  ${[`commit ${commit.slice(0, 12)}`, count, ...came, ...stayed].join(", ")}`;
  }
}
