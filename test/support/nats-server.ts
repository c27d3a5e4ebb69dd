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

/** Lines of its configuration beside port and store. */
export interface NatsServerOptions {
  readonly config?: string;
}

/** See the file's head. */
export class NatsServer implements AsyncDisposable {
  readonly #folder: string;
  readonly #config: string;
  #process: ChildProcess | undefined;
  /** Zero until it has chosen one, which it keeps. */
  #port = 0;

  private constructor(folder: string, config: string) {
    this.#folder = folder;
    this.#config = config;
  }

  static async start({ config = "" }: NatsServerOptions = {}): Promise<NatsServer> {
    const folder = await mkdtemp(join(tmpdir(), "forge-nats-"));
    const server = new NatsServer(folder, config);
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
    const lines = [
      `listen: "127.0.0.1:${port}"`,
      `jetstream { store_dir: ${JSON.stringify(store)}, max_mem: 64MB, max_file: 4GB }`,
      this.#config,
    ];
    await writeFile(file, lines.join("\n"));
    if (natsServer === undefined) throw new Error("no nats-server");
    const child = spawn(natsServer, ["-c", file], { stdio: ["ignore", "ignore", "pipe"] });
    this.#process = child;
    process.once("exit", () => child.kill("SIGKILL"));
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

  /** As if the power of its process had failed; what it had stored stays. */
  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (!child || child.exitCode !== null) return;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
