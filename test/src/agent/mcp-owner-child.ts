/** A program that uses a server of tools and ends without a thought for it: by itself, by an error, or by a signal. */
import { mcp } from "../../../src/agent/mcp.ts";

const [, , server = "", way] = process.argv;
const source = mcp({ command: process.execPath, args: [server] });
const { tools } = await source.open({ signal: new AbortController().signal });
const context = { signal: new AbortController().signal, seed: 0, task: undefined, callId: "c" };
const child = await tools["pid_of_child"]?.run({}, context);
process.stdout.write(`${JSON.stringify([...source.pids, Number(child)])}\n`);
if (way === "error") throw new Error("on purpose");
if (way === "signal") {
  setInterval(() => {}, 1_000_000);
  process.kill(process.pid, "SIGTERM");
}
