/** A folder that agents work in through an MCP server, and in it one for each episode. */
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve, sep } from "node:path";
import { type McpTools, mcp, type Tool, type ToolSource } from "forge-gpu";

/** Contents of files by path; one that ends in a slash is an empty folder. */
export type Files = Readonly<Record<string, string>>;

const require = createRequire(import.meta.url);
const SERVER = require.resolve("@modelcontextprotocol/server-filesystem/dist/index.js");
const TOOLS = ["list_directory", "read_text_file", "write_file", "move_file"];
/** Parameters of these tools that are paths. */
const PATHS = ["path", "source", "destination"];

/** One server for a whole run, which is let into this folder and no other. */
export class Sandbox {
  #root: string | undefined;
  #server: McpTools | undefined;
  #episodes = 0;

  /** Where it is: a new folder among the temporary ones, gone with {@link close} or with this process. */
  get root(): string {
    if (this.#root === undefined) {
      const root = realpathSync(mkdtempSync(join(tmpdir(), "forge-gpu-files-")));
      process.once("exit", () => rmSync(root, { recursive: true, force: true }));
      this.#root = root;
    }
    return this.#root;
  }

  /**
   * The server's tools for an episode, in a folder of its own that holds `files` and is gone when the episode has ended.
   * Paths are said and told as from that folder.
   *
   * @param onEnd is told what the folder holds in the end
   */
  episode(files: Files, onEnd: (left: Files) => void): ToolSource {
    return {
      open: async (context) => {
        this.#server ??= mcp(
          { command: process.execPath, args: [SERVER, this.root] },
          { include: TOOLS },
        );
        const folder = join(this.root, String(this.#episodes++));
        const { tools, close } = await this.#server.open(context);
        writeFiles(folder, files);
        return {
          tools: Object.fromEntries(
            Object.entries(tools).map(([name, tool]) => [name, this.#within(folder, tool)]),
          ),
          close: async () => {
            await close();
            onEnd(readFiles(folder));
            rmSync(folder, { recursive: true });
          },
        };
      },
    };
  }

  /** Ends the server and removes the folder. */
  async close(): Promise<void> {
    await this.#server?.close();
    this.#server = undefined;
    if (this.#root !== undefined) rmSync(this.#root, { recursive: true, force: true });
    this.#root = undefined;
  }

  #within(folder: string, tool: Tool): Tool {
    const told = (text: unknown): string =>
      String(text)
        .replaceAll(folder + sep, "")
        .replaceAll(folder, ".");
    return {
      ...tool,
      run: async (input, context) => {
        const given = Object.entries(input as Record<string, unknown>).map(([key, value]) => [
          key,
          PATHS.includes(key) ? this.#path(folder, String(value)) : value,
        ]);
        try {
          return told(await tool.run(Object.fromEntries(given), context));
        } catch (error) {
          throw new Error(told((error as Error).message));
        }
      },
    };
  }

  /** A path as the server is told it. It refuses those outside the sandbox; folders of other episodes are refused here. */
  #path(folder: string, given: string): string {
    const path = resolve(folder, given);
    if (isWithin(this.root, path) && !isWithin(folder, path))
      throw new Error("Access denied - path outside the folder");
    return path;
  }
}

function isWithin(folder: string, path: string): boolean {
  return path === folder || path.startsWith(folder + sep);
}

function writeFiles(folder: string, files: Files): void {
  for (const [name, content] of Object.entries(files)) {
    const path = join(folder, name);
    const isFolder = name.endsWith("/");
    mkdirSync(isFolder ? path : dirname(path), { recursive: true });
    if (!isFolder) writeFileSync(path, content);
  }
}

function readFiles(folder: string): Files {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  return Object.fromEntries(
    paths.map((path) => [relative(folder, path), readFileSync(path, "utf8")]),
  );
}
