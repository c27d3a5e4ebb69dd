/** A real server of NATS with a store of its own, on loopback. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { knownNats } from "../../src/setup/nats.mjs";

/** The server that the set-up has found. */
export const natsServer: string | undefined = knownNats()?.path;

/** What a suite is called where there is none, and it is skipped. */
export function natsTitle(title: string): string {
  return natsServer === undefined ? `${title} [no nats-server: run setup --nats]` : title;
}

/** What is unlike others. */
export interface NatsServerOptions {
  /** Lines of its configuration beside port and store. */
  readonly config?: string;
  /** Default true. */
  readonly hasJetStream?: boolean;
}

/** See the file's head. */
export class NatsServer implements AsyncDisposable {
  readonly #folder: string;
  #options: NatsServerOptions;
  #process: ChildProcess | undefined;
  /** Zero until it has chosen one, which it keeps. */
  #port = 0;

  readonly #end = (): void => void this.#process?.kill("SIGKILL");

  private constructor(folder: string, options: NatsServerOptions) {
    this.#folder = folder;
    this.#options = options;
  }

  static async start(options: NatsServerOptions = {}): Promise<NatsServer> {
    const folder = await mkdtemp(join(tmpdir(), "forge-nats-"));
    const server = new NatsServer(folder, options);
    await server.start();
    return server;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.#port}`;
  }

  /** Starts it on its store, and on the port that it had. */
  async start(): Promise<void> {
    const file = join(this.#folder, "server.conf");
    const store = join(this.#folder, "store");
    const port = this.#port === 0 ? -1 : this.#port;
    const { config = "", hasJetStream = true } = this.#options;
    const jetStream = `jetstream { store_dir: ${JSON.stringify(store)}, max_mem: 64MB, max_file: 4GB }`;
    const lines = [`listen: "127.0.0.1:${port}"`, hasJetStream ? jetStream : "", config];
    await writeFile(file, lines.join("\n"));
    if (natsServer === undefined) throw new Error("no nats-server");
    const child = spawn(natsServer, ["-c", file], { stdio: ["ignore", "ignore", "pipe"] });
    this.#process = child;
    process.once("exit", this.#end);
    let log = "";
    await new Promise<void>((resolve, reject) => {
      child.stderr?.setEncoding("utf8").on("data", (text: string) => {
        log += text;
        const found = /client connections on \S+:(\d+)/.exec(log)?.[1];
        if (found !== undefined) this.#port = Number(found);
        if (log.includes("Server is ready")) resolve();
      });
      child.once("exit", () => reject(new Error(`nats-server ended:\n${log}`)));
    });
  }

  /** Other lines of its configuration, from its next start on. */
  configure(config: string): void {
    this.#options = { ...this.#options, config };
  }

  /** As if the power of its process had failed; what it had stored stays. */
  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (!child || child.exitCode !== null) return;
    process.off("exit", this.#end);
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** Until it holds, however busy the machine is. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + 30_000;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`it never came to be that ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
