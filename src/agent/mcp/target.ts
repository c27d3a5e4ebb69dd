/** Where a server of tools is: a command to start, or an address. */
import { ForgeError } from "../../../engine/error.ts";

/** A server that is started here and spoken to through its standard streams. */
export interface McpCommand {
  readonly command: string;
  readonly args?: readonly string[];
  /** Beside what every process needs (PATH, HOME, …); the rest of this one's environment is not handed on. */
  readonly env?: Readonly<Record<string, string>>;
  /** Default: the working directory. */
  readonly cwd?: string;
}

/** A server at an address, spoken to by Streamable HTTP. */
export interface McpAddress {
  readonly url: string | URL;
  /** Of every request, such as `authorization`. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** What {@link parseTarget} takes. A text is a command line, or an address if it begins with http. */
export type McpTarget = string | URL | McpCommand | McpAddress;

/** A target as it is used. */
export type ParsedTarget = McpCommand | { readonly url: URL; readonly headers: Headers };

/** Throws `argument_invalid` for an empty command, an open quote, and an address that is none. */
export function parseTarget(target: McpTarget): ParsedTarget {
  if (typeof target === "string" && !/^https?:\/\//i.test(target)) return parseCommand(target);
  if (typeof target === "string" || target instanceof URL) return parseAddress({ url: target });
  if ("url" in target) return parseAddress(target);
  if (target.command.trim() === "") refuse("", "there is no command");
  return target;
}

/** What a server is called in errors: its address without what may be secret, or its command. */
export function targetName(target: ParsedTarget): string {
  if ("url" in target) return `${target.url.origin}${target.url.pathname}`;
  return [target.command, ...(target.args ?? [])].join(" ");
}

function parseAddress({ url, headers = {} }: McpAddress): ParsedTarget {
  const text = String(url);
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol))
    refuse(text, "an address begins with http:// or https://");
  return { url: new URL(text), headers: new Headers({ ...headers }) };
}

/** Words, and in quotes what has spaces in it. Nothing else is special: there is no shell. */
function parseCommand(line: string): McpCommand {
  const words = line.match(/(?:[^\s"']|"[^"]*"|'[^']*')+|["']/g) ?? [];
  if (words.some((word) => /^["']$/.test(word))) refuse(line, "a quote is not closed");
  const [command, ...args] = words.map((word) =>
    word.replace(/"([^"]*)"|'([^']*)'/g, (_, double, single) => double ?? single),
  );
  if (!command) return refuse(line, "there is no command");
  return { command, args };
}

function refuse(got: string, why: string): never {
  throw new ForgeError({
    code: "argument_invalid",
    what: "this is no server of tools.",
    got: JSON.stringify(got),
    why,
    fix: 'give a command line such as "npx -y some-server /a/folder", or an address',
  });
}
