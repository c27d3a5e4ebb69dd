/** Tools of servers that speak the Model Context Protocol. */
import { ForgeError } from "../../engine/error.ts";
import { connect, type McpConnection } from "./mcp/connection.ts";
import { type McpTarget, type ParsedTarget, parseTarget, targetName } from "./mcp/target.ts";
import { checkLimits, type OpenedTools, type ToolSet, type ToolSource } from "./tool/tool.ts";

export type { McpAddress, McpCommand, McpTarget } from "./mcp/target.ts";

/** How a server is used. */
export interface McpOptions {
  /** Of the server, in errors. Default: its command or address. */
  readonly name?: string;
  /** Tools that agents get. Default: all. */
  readonly include?: readonly string[];
  /** Tools that they do not. */
  readonly exclude?: readonly string[];
  /** Before each tool's name, where two servers have tools of the same name. */
  readonly prefix?: string;
  /** Milliseconds that a call may take. Default: those of the episode. */
  readonly timeoutMs?: number;
  /** Milliseconds until it has said what it offers; starting may mean downloading. Default 60,000. */
  readonly connectTimeoutMs?: number;
  /** Whether all episodes share a connection, or each has its own, with a server of its own for a command. Default "run". */
  readonly scope?: "run" | "episode";
}

/**
 * The tools of a server: `mcp("npx -y @modelcontextprotocol/server-filesystem /a/folder")`, or an address for Streamable
 * HTTP, which is all there is in a browser.
 *
 * It is connected to when an episode opens it, and again by the next episode when it was lost. A call that it does not survive
 * is an error that the agent is told. What was started ends when the source is disposed of, and with this process.
 *
 * Errors    `argument_invalid` for a target that is none. When it is opened: `package_missing` without
 *           `@modelcontextprotocol/sdk`; `tool_server_failed`; `argument_invalid` for a tool to include that there is not.
 */
export function mcp(target: McpTarget, options: McpOptions = {}): McpTools {
  const { timeoutMs, connectTimeoutMs } = options;
  checkLimits({ ...(timeoutMs !== undefined && { timeoutMs }) });
  checkLimits({ ...(connectTimeoutMs !== undefined && { timeoutMs: connectTimeoutMs }) });
  return new McpTools(parseTarget(target), options);
}

/** A server's tools; see {@link mcp}. */
export class McpTools implements ToolSource, AsyncDisposable {
  readonly #target: ParsedTarget;
  readonly #options: McpOptions;
  readonly #name: string;
  readonly #open = new Set<McpConnection>();
  #shared: Promise<McpConnection> | undefined;
  /** Of the shared connection while it is made. */
  #connecting = new AbortController();

  /** For {@link mcp}. */
  constructor(target: ParsedTarget, options: McpOptions) {
    this.#target = target;
    this.#options = options;
    this.#name = options.name ?? targetName(target);
  }

  /** Processes of servers that run now. */
  get pids(): readonly number[] {
    return [...this.#open].flatMap(({ pid }) => (pid === undefined ? [] : [pid]));
  }

  /** Tools for an episode. Errors: see {@link mcp}; the reason of the signal. */
  async open({ signal }: { readonly signal: AbortSignal }): Promise<OpenedTools> {
    if (this.#options.scope === "episode") {
      const own = await this.#connect(signal);
      return { tools: this.#chosen(own.tools), close: () => own.close() };
    }
    const { tools } = await unlessAborted(this.#sharedConnection(), signal);
    return { tools: this.#chosen(tools), close: async () => {} };
  }

  /** Ends its servers. An episode that opens it after that connects again. */
  async close(): Promise<void> {
    const shared = this.#shared;
    this.#shared = undefined;
    this.#connecting.abort(closedError(this.#name));
    await shared?.catch(() => {});
    await Promise.all([...this.#open].map((connection) => connection.close()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** One for all; another one after it was lost, or could not be made. */
  #sharedConnection(): Promise<McpConnection> {
    if (this.#shared) return this.#shared;
    // the protocol's client leaves a listener on the signal of each request
    this.#connecting = new AbortController();
    const connecting = this.#connect(this.#connecting.signal);
    this.#shared = connecting;
    const forget = (): void => {
      if (this.#shared === connecting) this.#shared = undefined;
    };
    connecting.then(({ closed }) => closed.then(forget), forget);
    return connecting;
  }

  async #connect(signal: AbortSignal): Promise<McpConnection> {
    const { timeoutMs, connectTimeoutMs = 60_000 } = this.#options;
    const connection = await connect({
      ...{ target: this.#target, name: this.#name, timeoutMs, connectTimeoutMs, signal },
    });
    this.#open.add(connection);
    void connection.closed.then(() => this.#open.delete(connection));
    return connection;
  }

  #chosen(tools: ToolSet): ToolSet {
    const { include = Object.keys(tools), exclude = [], prefix = "" } = this.#options;
    const missing = [...include, ...exclude].find((name) => !Object.hasOwn(tools, name));
    if (missing !== undefined) {
      throw new ForgeError({
        code: "argument_invalid",
        what: `the tool server ${JSON.stringify(this.#name)} has no tool ${JSON.stringify(missing)}.`,
        got: `its tools are ${Object.keys(tools).join(", ") || "none"}`,
        fix: "correct include or exclude of mcp()",
      });
    }
    const chosen = Object.entries(tools).filter(
      ([name]) => include.includes(name) && !exclude.includes(name),
    );
    return Object.fromEntries(chosen.map(([name, tool]) => [prefix + name, tool]));
  }
}

/** What the promise comes to, unless the signal comes first; then nobody waits for it here. */
function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop);
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}

function closedError(name: string): ForgeError {
  return new ForgeError({
    code: "state_conflict",
    what: `the tool server ${JSON.stringify(name)} was closed while it was connected to.`,
    fix: "close a source of tools when its episodes have ended",
  });
}
