/** A server that speaks the Model Context Protocol badly: by hand, since the SDK's would not let it. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

// it will not go, and has a child that will not either
process.on("SIGTERM", () => {});
setInterval(() => {}, 1_000_000);
const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1e6)"], { stdio: "inherit" });

const object = { type: "object" };
const tools = [
  { name: "pid_of_child", inputSchema: object },
  { name: "huge", inputSchema: object },
  { name: "silent", inputSchema: object },
  { name: "environment", inputSchema: object },
  { name: "__proto__", inputSchema: object },
  {
    name: "odd",
    inputSchema: { ...object, properties: { a: { $ref: "#/nowhere" } } },
    outputSchema: { ...object, properties: { a: { $ref: "#/nowhere" } } },
  },
  { name: "task", inputSchema: object, execution: { taskSupport: "required" } },
];
/** @type {Record<string, () => unknown>} */
const answers = {
  pid_of_child: () => String(child.pid),
  huge: () => "x".repeat(10 ** 7),
  environment: () => Object.keys(process.env).sort().join(" "),
  odd: () => "fine",
};
Object.defineProperty(answers, "__proto__", { value: () => "a tool like any other" });

process.stdout.write("a log where messages should be\n");
createInterface({ input: process.stdin }).on("line", (line) => {
  const { id, method, params } = JSON.parse(line);
  if (id === undefined) return;
  const result = resultOf(method, params);
  if (result) process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", id, result })}\n`);
});

/** @type {(method: string, params: any) => object | undefined} */
function resultOf(method, params) {
  if (method === "initialize") {
    const { protocolVersion } = params;
    return {
      protocolVersion,
      capabilities: { tools: {} },
      serverInfo: { name: "stubborn", version: "1" },
    };
  }
  if (method === "tools/list") {
    // a tool a page
    const at = Number(params.cursor ?? 0);
    const isLast = at === tools.length - 1;
    return { tools: [tools[at]], ...(!isLast && { nextCursor: String(at + 1) }) };
  }
  const text = answers[params.name]?.();
  return text === undefined ? undefined : { content: [{ type: "text", text }] };
}
