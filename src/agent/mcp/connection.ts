/** A connection to a server of tools: what it offers, and calls. */
import type { Transport } from "@modelcontextprotocol/sdk/shared/transport.js";
import type { JsonSchemaValidator } from "@modelcontextprotocol/sdk/validation";
import { ForgeError } from "../../../engine/error.ts";
import type { ToolSet } from "../tool/tool.ts";
import { errorText } from "../tool/tool-answer.ts";
import { type ToolAnswer, textOfAnswer } from "./answer.ts";
import { type InputCheck, type OfferedTool, toolsOf } from "./offered-tools.ts";
import { importSdk, type McpSdk } from "./sdk.ts";
import { StdioTransport } from "./stdio-transport.ts";
import type { ParsedTarget } from "./target.ts";

/** How to connect. */
export interface ConnectOptions {
  readonly target: ParsedTarget;
  /** Of the server, in errors. */
  readonly name: string;
  /** Milliseconds that connecting may take. */
  readonly connectTimeoutMs: number;
  /** Milliseconds that a call may take. Default: those of the episode. */
  readonly timeoutMs: number | undefined;
  readonly signal: AbortSignal;
}

type Client = InstanceType<McpSdk["Client"]>;

/** Pages of a list of tools at most: a server may name the same next one for ever. */
const MOST_PAGES = 1_000;

/** Timers wait no longer. Calls are ended by their signals. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** Milliseconds within which a server that lives answers. */
const SIGN_OF_LIFE = 5_000;

/** Milliseconds for a goodbye. */
const PATIENCE = 1_000;

/** A connection, until either end closes it. */
export class McpConnection {
  readonly #client: Client;
  readonly #transport: Transport;
  #tools: ToolSet = {};
  #isOpen = true;
  #isProbing = false;
  /** Resolves when either end has closed it. */
  readonly closed: Promise<void>;

  /** For {@link connect}. */
  constructor(client: Client, transport: Transport) {
    this.#client = client;
    this.#transport = transport;
    this.closed = new Promise((resolve) => {
      client.onclose = () => {
        this.#isOpen = false;
        resolve();
      };
    });
    // a server at an address may go without a word
    if (!(transport instanceof StdioTransport)) client.onerror = () => void this.#probe();
  }

  /** What the server offered when it was connected to. */
  get tools(): ToolSet {
    return this.#tools;
  }

  /** Of a server that was started here, while it runs. */
  get pid(): number | undefined {
    return this.#transport instanceof StdioTransport ? this.#transport.pid : undefined;
  }

  /** Connects, and asks what there is. Errors: the server's; the reason of the signal. */
  async start(options: ConnectOptions, sdk: McpSdk): Promise<void> {
    const { connectTimeoutMs: timeout, signal, timeoutMs } = options;
    const request = { timeout, signal };
    await this.#client.connect(this.#transport, request);
    const offered: OfferedTool[] = [];
    let cursor: string | undefined;
    for (let page = 0; page < MOST_PAGES; page++) {
      const list = await this.#client.listTools(cursor === undefined ? {} : { cursor }, request);
      offered.push(...list.tools);
      cursor = list.nextCursor;
      if (cursor === undefined) break;
    }
    const call = this.#call.bind(this);
    this.#tools = toolsOf(offered, { call, timeoutMs, checkOf: checksOf(sdk) });
  }

  /** Says goodbye, and ends a server that was started here. */
  async close(): Promise<void> {
    const { terminateSession } = this.#transport as { terminateSession?: () => Promise<void> };
    if (this.#isOpen && terminateSession) {
      this.#isOpen = false;
      await withPatience(terminateSession.call(this.#transport).catch(() => {}));
    }
    await this.#client.close();
    await this.#transport.close();
  }

  /** Text of what the tool answered. Errors: the text of an answer that is one; the protocol's; the reason of the signal. */
  async #call(name: string, input: Record<string, unknown>, signal: AbortSignal): Promise<string> {
    const request = { name, arguments: input };
    const options = { signal, timeout: LONGEST_TIMER };
    const answer = (await this.#client.callTool(request, undefined, options)) as ToolAnswer;
    const text = textOfAnswer(answer);
    if (answer.isError) throw new Error(text);
    return text;
  }

  /** A stream that breaks ends no call; a server that is gone ends them all. */
  async #probe(): Promise<void> {
    if (this.#isProbing || !this.#isOpen) return;
    this.#isProbing = true;
    await this.#client.ping({ timeout: SIGN_OF_LIFE }).catch(() => this.#client.close());
    this.#isProbing = false;
  }
}

/** Errors    `package_missing`; `tool_server_failed`; the reason of the signal. */
export async function connect(options: ConnectOptions): Promise<McpConnection> {
  const { target, signal, name } = options;
  const sdk = await importSdk();
  signal.throwIfAborted();
  const transport =
    "url" in target ? overHttp(sdk, target) : new StdioTransport(target, sdk.deserializeMessage);
  // what tools answer is the agent's to judge, so their output schemas are not looked at
  const jsonSchemaValidator = { getValidator: acceptAll };
  const client = new sdk.Client({ name: "forge-gpu", version: "0" }, { jsonSchemaValidator });
  const connection = new McpConnection(client, transport);
  try {
    await connection.start(options, sdk);
    return connection;
  } catch (cause) {
    await connection.close();
    signal.throwIfAborted();
    if (cause instanceof ForgeError) throw cause;
    const said = transport instanceof StdioTransport ? transport.stderr.trim() : "";
    throw new ForgeError({
      code: "tool_server_failed",
      what: `the tool server ${JSON.stringify(name)} cannot be used.`,
      got: [errorText(cause), said].filter(Boolean).join("; it said: "),
      fix: "see that it starts by itself, and that it speaks the Model Context Protocol",
      cause,
    });
  }
}

function acceptAll<T>(): JsonSchemaValidator<T> {
  return (data) => ({ valid: true, data: data as T, errorMessage: undefined });
}

/** The stream for what a server says unasked stays closed: nobody listens, and it would keep the process alive. */
function overHttp(
  { StreamableHTTPClientTransport }: McpSdk,
  { url, headers }: Extract<ParsedTarget, { url: URL }>,
): Transport {
  const answered = async (address: string | URL, init?: RequestInit): Promise<Response> => {
    const isUnasked = init?.method === "GET" && !new Headers(init.headers).has("last-event-id");
    return isUnasked ? new Response(null, { status: 405 }) : fetch(address, init);
  };
  return new StreamableHTTPClientTransport(url, {
    requestInit: { headers },
    fetch: answered,
  }) as Transport;
}

/** Checks by one validator, made when the first is asked for. */
function checksOf({ AjvJsonSchemaValidator }: McpSdk): (schema: object) => InputCheck {
  let validator: InstanceType<typeof AjvJsonSchemaValidator> | undefined;
  return (schema) => {
    validator ??= new AjvJsonSchemaValidator();
    const validate = validator.getValidator(schema);
    return (input) => validate(input).errorMessage;
  };
}

async function withPatience(work: Promise<void>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const enough = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, PATIENCE);
  });
  await Promise.race([work, enough]);
  clearTimeout(timer);
}
