/** The protocol's SDK, which is there for those who use it. */
import { ForgeError } from "../../../engine/error.ts";
import { errorText } from "../tool/tool-answer.ts";

/** What of it is used. */
export interface McpSdk {
  readonly Client: typeof import("@modelcontextprotocol/sdk/client/index.js").Client;
  readonly StreamableHTTPClientTransport: typeof import("@modelcontextprotocol/sdk/client/streamableHttp.js").StreamableHTTPClientTransport;
  readonly AjvJsonSchemaValidator: typeof import("@modelcontextprotocol/sdk/validation/ajv").AjvJsonSchemaValidator;
  readonly deserializeMessage: typeof import("@modelcontextprotocol/sdk/shared/stdio.js").deserializeMessage;
}

/** Throws `package_missing` where it is not installed. */
export async function importSdk(): Promise<McpSdk> {
  try {
    // each awaited by itself: bundlers pass over one that they do not find within a try, and over nothing cleverer
    const { Client } = await import("@modelcontextprotocol/sdk/client/index.js");
    const { StreamableHTTPClientTransport } = await import(
      "@modelcontextprotocol/sdk/client/streamableHttp.js"
    );
    const { AjvJsonSchemaValidator } = await import("@modelcontextprotocol/sdk/validation/ajv");
    const { deserializeMessage } = await import("@modelcontextprotocol/sdk/shared/stdio.js");
    return { Client, StreamableHTTPClientTransport, AjvJsonSchemaValidator, deserializeMessage };
  } catch (cause) {
    throw new ForgeError({
      code: "package_missing",
      what: "the SDK of the Model Context Protocol is not installed",
      got: errorText(cause),
      why: "only mcp() needs it, so forge-gpu does not bring it",
      fix: "npm install @modelcontextprotocol/sdk",
      cause,
    });
  }
}
