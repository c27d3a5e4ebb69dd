/** A server started here, spoken to through its standard streams: a JSON message a line. Node only, and imports nothing of it. */
import type { ChildProcessWithoutNullStreams } from "node:child_process";
import type { Socket } from "node:net";
import type { Transport } from "@modelcontextprotocol/sdk/shared/transport.js";
import type { JSONRPCMessage } from "@modelcontextprotocol/sdk/types.js";
import { ForgeError } from "../../../engine/error.ts";
import { endWithUs, killTree } from "./living-children.ts";
import type { McpCommand } from "./target.ts";

/** Milliseconds that a server has to end by itself, and then again when it was told to. */
const PATIENCE = 1_000;

/** Bytes of a message at most. */
const LONGEST_MESSAGE = 128 * 2 ** 20;

/** Characters of what it last said on stderr that are kept for errors. */
const KEPT_STDERR = 2_000;

/** What every process needs; secrets of the environment are not a server's business. */
const HANDED_ON =
  /^(?:HOME|LOGNAME|PATH|SHELL|TERM|USER|LANG|TMPDIR|APPDATA|LOCALAPPDATA|PROGRAMFILES|SYSTEMROOT|SYSTEMDRIVE|TEMP|USERPROFILE)$/i;

/**
 * A transport of the protocol's client. The child has a process group of its own, keeps no process alive, and ends with this
 * one. Unlike the SDK's, which does none of that.
 */
export class StdioTransport implements Transport {
  onmessage?: (message: JSONRPCMessage) => void;
  onclose?: () => void;
  onerror?: (error: Error) => void;
  readonly #command: McpCommand;
  readonly #parse: (line: string) => JSONRPCMessage;
  #child: ChildProcessWithoutNullStreams | undefined;
  #ended: Promise<void> = Promise.resolve();
  #stderr = "";
  #unread: Uint8Array[] = [];
  #unreadBytes = 0;

  constructor(command: McpCommand, parse: (line: string) => JSONRPCMessage) {
    this.#command = command;
    this.#parse = parse;
  }

  /** What it last said on stderr. */
  get stderr(): string {
    return this.#stderr;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  async start(): Promise<void> {
    const { command, args = [], env, cwd } = this.#command;
    const isWindows = process.platform === "win32";
    const handedOn = Object.entries(process.env).filter(([name]) => HANDED_ON.test(name));
    const child = childProcesses().spawn(command, args, {
      env: { ...Object.fromEntries(handedOn), ...env },
      ...(cwd !== undefined && { cwd }),
      stdio: ["pipe", "pipe", "pipe"],
      detached: !isWindows,
      // npx and its like are scripts there
      shell: isWindows,
      windowsHide: true,
    });
    await new Promise<void>((resolve, reject) =>
      child.once("spawn", resolve).once("error", reject),
    );
    this.#child = child;
    this.#listen(child);
  }

  async send(message: JSONRPCMessage): Promise<void> {
    const { stdin } = this.#child ?? {};
    if (!stdin?.writable) throw new Error("the server has ended");
    await new Promise<void>((resolve, reject) =>
      stdin.write(`${JSON.stringify(message)}\n`, (error) => (error ? reject(error) : resolve())),
    );
  }

  /** Asks it to end, then tells it to, then makes it. */
  async close(): Promise<void> {
    const child = this.#child;
    if (!child) return;
    child.stdin.end();
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      if (await this.#hasEnded(PATIENCE)) return;
      killTree(child, signal);
    }
    await this.#ended;
  }

  async #hasEnded(ms: number): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const tooLong = new Promise<boolean>((resolve) => {
      timer = setTimeout(resolve, ms, false);
    });
    const hasEnded = await Promise.race([this.#ended.then(() => true), tooLong]);
    clearTimeout(timer);
    return hasEnded;
  }

  #listen(child: ChildProcessWithoutNullStreams): void {
    const forget = endWithUs(child);
    for (const stream of [child.stdin, child.stdout, child.stderr]) {
      (stream as unknown as Socket).unref();
      stream.on("error", (error: Error) => this.onerror?.(error));
    }
    child.unref();
    child.stdout.on("data", (bytes: Uint8Array) => this.#read(bytes));
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-KEPT_STDERR);
    });
    this.#ended = new Promise((resolve) => {
      const end = (): void => {
        forget();
        resolve();
        this.#child = undefined;
        this.onclose?.();
        this.onclose = () => {};
      };
      // its streams close behind it, unless someone it has started holds them
      child.once("exit", () => {
        killTree(child, "SIGKILL");
        setTimeout(end, PATIENCE).unref();
      });
      child.once("close", end);
    });
  }

  /** Hands on the lines that are whole. What is no message, such as a log on the wrong stream, is passed over. */
  #read(bytes: Uint8Array): void {
    let start = 0;
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, start)) {
      this.#unread.push(bytes.subarray(start, end));
      const line = new TextDecoder().decode(joined(this.#unread));
      this.#unread = [];
      this.#unreadBytes = 0;
      start = end + 1;
      this.#hand(line);
    }
    this.#unread.push(bytes.subarray(start));
    this.#unreadBytes += bytes.length - start;
    if (this.#unreadBytes <= LONGEST_MESSAGE) return;
    this.onerror?.(new Error(`a message of more than ${LONGEST_MESSAGE} bytes`));
    if (this.#child) killTree(this.#child, "SIGKILL");
  }

  #hand(line: string): void {
    let message: JSONRPCMessage;
    try {
      message = this.#parse(line);
    } catch (error) {
      this.onerror?.(error as Error);
      return;
    }
    this.onmessage?.(message);
  }
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

/** Node's own module, without an import that a bundler for browsers would stumble over. Throws `argument_invalid`. */
function childProcesses(): typeof import("node:child_process") {
  const { process } = globalThis as { process?: Partial<NodeJS.Process> };
  if (process?.getBuiltinModule) return process.getBuiltinModule("node:child_process");
  throw new ForgeError({
    code: "argument_invalid",
    what: "a server cannot be started here.",
    why: "there are no processes in a browser",
    fix: "give mcp() the address of a server",
  });
}
