/** Opens all that gives tools, and puts them under one roof. */
import { ForgeError } from "../../../engine/error.ts";
import type { OpenedTools, Tool, ToolProvider, ToolSet, ToolSource } from "./tool.ts";

/** Names that every format of calls can carry. */
const NAME = /^[\w.:/-]{1,128}$/;

/** Tools by name, in the order in which they are given. */
interface Roof {
  readonly tools: ReadonlyMap<string, Tool>;
  close(): Promise<void>;
}

/** Opens sources at once. Errors: see `openTools`; then those that were opened are closed again. */
export async function openProviders(provider: ToolProvider, signal: AbortSignal): Promise<Roof> {
  const providers = Array.isArray(provider) ? provider : [provider as ToolSet | ToolSource];
  const opened = await Promise.allSettled(providers.map((each) => opening(each, signal)));
  const fine = opened.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
  const close = async (): Promise<void> => {
    await Promise.allSettled(fine.map((each) => each.close()));
  };
  try {
    for (const each of opened) if (each.status === "rejected") throw each.reason;
    signal.throwIfAborted();
    return { tools: named(fine.map(({ tools }) => tools)), close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function opening(given: ToolSet | ToolSource, signal: AbortSignal): Promise<OpenedTools> {
  if (isSource(given)) return given.open({ signal });
  return { tools: given, close: async () => {} };
}

/** A tool may be called "open"; it is no function. */
function isSource(given: ToolSet | ToolSource): given is ToolSource {
  return typeof given.open === "function";
}

function named(sets: readonly ToolSet[]): ReadonlyMap<string, Tool> {
  const tools = new Map<string, Tool>();
  for (const [name, tool] of sets.flatMap((set) => Object.entries(set))) {
    if (tools.has(name)) refuse(name, "two tools have this name", "rename one, or exclude it");
    if (!NAME.test(name))
      refuse(name, "a name is letters, digits and _ . : / -, 128 at most", "rename it");
    tools.set(name, tool);
  }
  return tools;
}

function refuse(name: string, why: string, fix: string): never {
  throw new ForgeError({
    code: "argument_invalid",
    what: "tools cannot be given to an agent.",
    got: JSON.stringify(name),
    why,
    fix,
  });
}
