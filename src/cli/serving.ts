/** Servers of pages, for as long as somebody looks at them. */
import type { Listening } from "../page-server/listening.ts";
import { interruptible } from "./interrupt.ts";
import { printJson } from "./json.ts";

/** Says where a server listens, lets it until Ctrl-C, and ends it. */
export async function serveUntilInterrupted(server: Listening, isJson: boolean): Promise<void> {
  try {
    const { url } = server;
    if (isJson) printJson({ url });
    else process.stdout.write(`${url}\nCtrl-C ends it\n`);
    await interruptible(async (signal) => {
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    });
    // it was meant to end this way
    process.exitCode = 0;
  } finally {
    await server[Symbol.asyncDispose]();
  }
}
