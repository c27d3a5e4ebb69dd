/**
 * `forge-gpu demo`: serves a page on which two agents are trained by the reader's browser.
 */
import { Command } from "commander";
import { serveUntilInterrupted } from "./serving.ts";
import { wholeNumber } from "./values.ts";

/** Of nobody that is known: checkpoints that a browser keeps belong to host and port. */
const USUAL_PORT = 4651;
/** Where the build puts the page. */
const PAGE = "demo";

/** The `demo` command. */
export function demoCommand(): Command {
  return new Command("demo")
    .description("train two agents in your browser: CartPole, and one that uses a calculator")
    .option(
      "--port <number>",
      `port to listen at; 0 takes one that is free (default: ${USUAL_PORT}, or a free one)`,
      wholeNumber(0),
    )
    .option("--json", "print one JSON document, {url}, on stdout once it listens")
    .addHelpText(
      "after",
      `
The page trains on the WebGPU of the browser, and sends nothing anywhere; this command only hands out its files. It
listens on this machine alone: browsers offer WebGPU to https and to localhost. Ctrl-C ends it.`,
    )
    .action(serve);
}

/** Options of the command. */
interface DemoFlags {
  readonly port?: number;
  readonly json?: boolean;
}

// no `await using`: TypeScript leaves the suffixes of imports in such a function as they are
async function serve({ port, json = false }: DemoFlags): Promise<void> {
  const { Hono } = await import("hono");
  const { guard } = await import("../page-server/guard.ts");
  const { listening } = await import("../page-server/listening.ts");
  const { addPage, builtPage } = await import("../page-server/page-files.ts");
  const app = new Hono();
  const host = "127.0.0.1";
  app.use(guard(host));
  addPage(app, builtPage(PAGE));
  await serveUntilInterrupted(await listening(app, { port, usualPort: USUAL_PORT, host }), json);
}
