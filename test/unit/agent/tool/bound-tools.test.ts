import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import type { ToolCall, ToolCallStatus } from "../../../../src/agent/message.ts";
import {
  type BoundTools,
  type OpenToolsContext,
  openTools,
  type WrittenCalls,
} from "../../../../src/agent/tool/bound-tools.ts";
import {
  type OpenedTools,
  type ToolContext,
  type ToolProvider,
  type ToolSource,
  tool,
} from "../../../../src/agent/tool/tool.ts";
import { errorOf, rejectionOf } from "../../../support/errors.ts";

const nothing = z.object({});
const add = tool({
  description: "The sum.",
  input: z.object({ a: z.number(), b: z.number() }),
  run: ({ a, b }) => a + b,
});

function open(
  provider: ToolProvider,
  context: Partial<OpenToolsContext> = {},
): Promise<BoundTools> {
  return openTools(provider, { seed: 7, signal: new AbortController().signal, ...context });
}

/** An answer of the main agent, with these calls. */
function written(...calls: (readonly [name: string, input?: unknown])[]): WrittenCalls {
  return {
    requestIndex: 3,
    role: "main",
    calls: calls.map(([name, input = {}], i): ToolCall => ({ id: `call-${i}`, name, input })),
    malformed: [],
  };
}

/** What one call of one tool comes to. */
async function outcomeOf(
  run: (context: ToolContext) => unknown,
  limits: Partial<OpenToolsContext> = {},
): Promise<{ status: ToolCallStatus; content: string; isCut: boolean }> {
  const it = tool({ input: nothing, run: (_, context) => run(context) });
  const tools = await open({ it }, limits);
  const [message] = await tools.run(written(["it"]));
  const [record] = tools.records;
  expect(message?.content).toBe(record?.content);
  return record as NonNullable<typeof record>;
}

describe("openTools", () => {
  it("tells the policy of all tools, in their order", async () => {
    const tools = await open([{ add }, { noop: tool({ input: nothing, run: () => {} }) }]);
    expect(tools.definitions).toEqual([
      { name: "add", description: "The sum.", parameters: add.inputSchema },
      { name: "noop", parameters: { type: "object", properties: {} } },
    ]);
  });

  it("takes a tool that is called open for a tool", async () => {
    const tools = await open({ open: add });
    expect(await tools.call("open", { a: 1, b: 2 })).toBe(3);
  });

  it("opens sources with the episode's signal, and closes each once", async () => {
    const { signal } = new AbortController();
    const source = counted(async (given) => {
      expect(given).toBe(signal);
      return { add };
    });
    const tools = await open([source, { other: add }], { signal });
    expect(tools.definitions.map(({ name }) => name)).toEqual(["add", "other"]);
    await tools.close();
    await tools.close();
    expect(source.counts).toEqual({ opened: 1, closed: 1 });
  });

  it("closes what it has opened where a source cannot be", async () => {
    const fine = counted(async () => ({ add }));
    const broken = counted(async () => {
      throw new Error("out of order");
    });
    expect(await errorOf(open([fine, broken]))).toMatchObject({ message: "out of order" });
    expect(fine.counts).toEqual({ opened: 1, closed: 1 });
  });

  it("refuses two tools of a name, and closes what it has opened", async () => {
    const source = counted(async () => ({ add }));
    expect(await rejectionOf(open([source, { add }]))).toBe("argument_invalid");
    expect(source.counts).toEqual({ opened: 1, closed: 1 });
  });

  it.each(["", "a b", "ü", "<call>", "x".repeat(129)])("refuses the name %j", async (name) => {
    expect(await rejectionOf(open({ [name]: add }))).toBe("argument_invalid");
  });

  it.each([{ timeoutMs: 0 }, { maxOutput: -1 }, { timeoutMs: Number.NaN }])(
    "refuses the limits %j",
    async (limits) => {
      expect(await rejectionOf(open({ add }, limits))).toBe("argument_invalid");
    },
  );
});

/** A source that counts what becomes of it. */
function counted(
  tools: (signal: AbortSignal) => Promise<OpenedTools["tools"]>,
): ToolSource & { counts: { opened: number; closed: number } } {
  const counts = { opened: 0, closed: 0 };
  return {
    counts,
    async open({ signal }) {
      const opened = await tools(signal);
      counts.opened++;
      return { tools: opened, close: async () => void counts.closed++ };
    },
  };
}

describe("BoundTools.run", () => {
  it("answers each call, in the order of the calls, whatever comes of them", async () => {
    const tools = await open({ add });
    const { calls } = written(["add", { a: 1, b: 2 }], ["add", { a: "1" }], ["sub"]);
    const malformed = [{ text: "<tool_call>{", reason: "the JSON does not end" }];
    const messages = await tools.run({ requestIndex: 3, role: "main", calls, malformed });
    expect(messages).toEqual([
      { role: "tool", toolCallId: "call-0", name: "add", content: "3" },
      expect.objectContaining({ toolCallId: "call-1", name: "add" }),
      expect.objectContaining({ toolCallId: "call-2", name: "sub" }),
      {
        role: "tool",
        toolCallId: "malformed-3-0",
        name: "",
        content: "error: the JSON does not end",
      },
    ]);
    expect(messages[1]?.content).toMatch(/^error: the input does not fit: a: .*; b: /);
    expect(messages[2]?.content).toBe('error: there is no tool "sub"; there are: add');
    expect(tools.records.map(({ status }) => status)).toEqual([
      ...["ok", "invalid_input", "unknown_tool", "malformed"],
    ]);
    expect(tools.records[0]).toEqual({
      ...{ requestIndex: 3, role: "main", name: "add", input: { a: 1, b: 2 } },
      ...{ status: "ok", content: "3", isCut: false, ms: expect.any(Number) },
    });
    expect(tools.records[3]).toMatchObject({ name: "", input: "<tool_call>{" });
  });

  it("runs calls beside one another", async () => {
    let running = 0;
    let most = 0;
    let letGo = (): void => {};
    const all = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    const wait = tool({
      input: z.object({ i: z.number() }),
      run: async ({ i }) => {
        most = Math.max(most, ++running);
        if (running === 3) letGo(); // the calls can only end together
        await all;
        return i;
      },
    });
    const tools = await open({ wait });
    const calls = written(["wait", { i: 0 }], ["wait", { i: 1 }], ["wait", { i: 2 }]);
    const messages = await tools.run(calls);
    expect(most).toBe(3);
    expect(messages.map(({ content }) => content)).toEqual(["0", "1", "2"]);
  });

  it("gives a tool the episode, and the id of its call", async () => {
    let seen: ToolContext | undefined;
    const task = { question: "?" };
    const look = (context: ToolContext): void => {
      seen = context;
    };
    await outcomeOf(look, { task, seed: 41 });
    expect(seen).toMatchObject({ task, seed: 41, callId: "call-0" });
    expect(seen?.signal.aborted).toBe(false);
  });

  it("tells of what a tool throws, at once or later", async () => {
    const thrown = await outcomeOf(() => {
      throw new Error("disk on fire");
    });
    expect(thrown).toMatchObject({ status: "error", content: "error: disk on fire" });
    expect(await outcomeOf(() => Promise.reject(new Error("later")))).toMatchObject({
      status: "error",
      content: "error: later",
    });
    expect(await outcomeOf(() => Promise.reject())).toMatchObject({
      status: "error",
      content: "error: undefined",
    });
  });

  it("takes an input that a tool refuses inside for the tool's error", async () => {
    expect(await outcomeOf(() => add.parse({}))).toMatchObject({ status: "error" });
  });

  it("stops waiting for a tool that hangs, and tells it so", async () => {
    let signal: AbortSignal | undefined;
    const outcome = await outcomeOf(
      (context) => {
        signal = context.signal;
        return new Promise(() => {});
      },
      { timeoutMs: 20 },
    );
    expect(outcome).toMatchObject({
      status: "timeout",
      content: "error: the tool took longer than 0.02 s",
    });
    expect(signal?.aborted).toBe(true);
    expect(signal?.reason).toMatchObject({ name: "TimeoutError" });
  });

  it("drops what a tool says or throws too late, which leaves no rejection unhandled", async () => {
    const late = (end: () => unknown) => () =>
      new Promise((resolve, reject) =>
        setTimeout(() => {
          try {
            resolve(end());
          } catch (error) {
            reject(error);
          }
        }, 20),
      );
    const said = tool({ input: nothing, run: late(() => "late") });
    const threw = tool({
      input: nothing,
      run: late(() => {
        throw new Error("late");
      }),
    });
    const tools = await open({ said, threw }, { timeoutMs: 5 });
    const messages = await tools.run(written(["said"], ["threw"]));
    await new Promise((resolve) => setTimeout(resolve, 40));
    expect(tools.records.map(({ status }) => status)).toEqual(["timeout", "timeout"]);
    expect(messages.map(({ content }) => content)).not.toContain("late");
  });

  it("lets a tool have limits of its own, also none", async () => {
    const wait = (): Promise<unknown> => new Promise((resolve) => setTimeout(resolve, 30, "done"));
    const patient = tool({ input: nothing, run: wait, timeoutMs: Number.POSITIVE_INFINITY });
    const hasty = tool({ input: nothing, run: wait, timeoutMs: 5 });
    const brief = tool({ input: nothing, run: () => "abcdef", maxOutput: 2 });
    const tools = await open({ patient, hasty, brief }, { timeoutMs: 10 });
    await tools.run(written(["patient"], ["hasty"], ["brief"]));
    expect(tools.records.map(({ status, isCut }) => [status, isCut])).toEqual([
      ["ok", false],
      ["timeout", false],
      ["ok", true],
    ]);
  });

  it("cuts 10 MB, of text and of an error", async () => {
    const huge = "x".repeat(10 ** 7);
    const content = `${"x".repeat(100)}\n[cut: 100 of 10000000 characters]`;
    expect(await outcomeOf(() => huge, { maxOutput: 100 })).toMatchObject({
      ...{ status: "ok", isCut: true, content },
    });
    const thrown = await outcomeOf(() => Promise.reject(new Error(huge)), { maxOutput: 100 });
    expect(thrown).toMatchObject({ status: "error", isCut: true });
    expect(thrown.content).toMatch(/^error: x{93}\n\[cut: 100 of 10000007 characters\]$/);
  });

  it("says that a result cannot be said", async () => {
    const cycle: unknown[] = [];
    cycle.push(cycle);
    for (const result of [cycle, 1n, () => 1, Number.NaN, new Map()])
      expect(await outcomeOf(() => result)).toMatchObject({
        status: "error",
        content: expect.stringMatching(/^error: /),
      });
  });

  it.each(["__proto__", "constructor", "toString", "hasOwnProperty", "open"])(
    "knows no tool %s that nobody gave",
    async (name) => {
      const tools = await open({ add });
      await tools.run(written([name, { a: 1, b: 2 }]));
      expect(tools.records[0]?.status).toBe("unknown_tool");
    },
  );

  it("runs a tool of any name that somebody gave", async () => {
    const tools = await open({ ["__proto__"]: add, constructor: add });
    await tools.run(written(["__proto__", { a: 1, b: 2 }], ["constructor", { a: 1, b: 3 }]));
    expect(tools.records.map(({ content }) => content)).toEqual(["3", "4"]);
    expect(Object.keys(tools.forAiSdk())).toEqual(["__proto__", "constructor"]);
  });

  it("throws the reason when the episode is called off, and stops the tools", async () => {
    const episode = new AbortController();
    let signal: AbortSignal | undefined;
    const hang = tool({
      input: nothing,
      run: (_, context) => {
        signal = context.signal;
        return new Promise(() => {});
      },
    });
    const tools = await open({ hang, add }, { signal: episode.signal });
    const running = tools.run(written(["add", { a: 1, b: 2 }], ["hang"]));
    const reason = new Error("called off");
    setTimeout(() => episode.abort(reason), 5);
    expect(await errorOf(running)).toBe(reason);
    expect(signal?.aborted).toBe(true);
    expect(tools.records).toEqual([]);
    expect(await errorOf(tools.run(written(["add"])))).toBe(reason);
  });

  it("ends calls when it is closed, and takes no more", async () => {
    const hang = tool({ input: nothing, run: () => new Promise(() => {}) });
    const tools = await open({ hang });
    const running = rejectionOf(tools.run(written(["hang"])));
    await tools.close();
    expect(await running).toBe("state_conflict");
    expect(await rejectionOf(tools.run(written(["hang"])))).toBe("state_conflict");
  });

  it("answers whatever a policy could have written", async () => {
    const tools = await open({
      add,
      echo: tool({ input: z.object({ x: z.any() }), run: (i) => i }),
    });
    const name = fc.oneof(fc.constantFrom("add", "echo", "__proto__", ""), fc.string());
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(name, fc.oneof(fc.jsonValue(), fc.object())), { maxLength: 5 }),
        fc.array(fc.record({ text: fc.string(), reason: fc.string() }), { maxLength: 3 }),
        async (calls, malformed) => {
          tools.records.length = 0;
          const reply = { ...written(...calls), malformed };
          const messages = await tools.run(reply);
          expect(messages.map(({ toolCallId }) => toolCallId)).toEqual([
            ...reply.calls.map(({ id }) => id),
            ...malformed.map((_, i) => `malformed-3-${i}`),
          ]);
          expect(tools.records.map(({ content }) => content)).toEqual(
            messages.map(({ content }) => content),
          );
        },
      ),
    );
  });
});

describe("BoundTools.call", () => {
  it("returns what the tool returned, and records it", async () => {
    const row = { id: 1n };
    const it = tool({ input: nothing, run: () => row });
    const tools = await open({ it, add });
    expect(await tools.call("add", { a: 1, b: 2 }, { requestIndex: 4, role: "critic" })).toBe(3);
    expect(tools.records).toMatchObject([{ requestIndex: 4, role: "critic", content: "3" }]);
  });

  it("throws what the tool threw, and records it", async () => {
    const error = new Error("no");
    const broken = tool({ input: nothing, run: () => Promise.reject(error) });
    const hang = tool({ input: nothing, run: () => new Promise(() => {}), timeoutMs: 5 });
    const tools = await open({ broken, hang, add });
    expect(await errorOf(tools.call("broken", {}))).toBe(error);
    expect(await errorOf(tools.call("hang", {}))).toMatchObject({ name: "TimeoutError" });
    expect(await rejectionOf(tools.call("add", {}))).toBe("tool_input_invalid");
    expect(await rejectionOf(tools.call("sub", {}))).toBe("argument_invalid");
    expect(tools.records.map(({ status, requestIndex }) => [status, requestIndex])).toEqual([
      ...[
        ["error", -1],
        ["timeout", -1],
        ["invalid_input", -1],
        ["unknown_tool", -1],
      ],
    ]);
  });

  it("is ended by a signal of its own, and knows who asked", async () => {
    const hang = tool({ input: nothing, run: () => new Promise(() => {}) });
    const tools = await open(
      { hang, add },
      { askedBy: (callId) => (callId === "c1" ? { requestIndex: 2, role: "helper" } : undefined) },
    );
    const own = new AbortController();
    const running = errorOf(tools.call("hang", {}, { signal: own.signal }));
    own.abort(new Error("enough"));
    expect(await running).toMatchObject({ message: "enough" });
    await tools.call("add", { a: 1, b: 1 }, { callId: "c1" });
    expect(tools.records).toMatchObject([{ requestIndex: 2, role: "helper" }]);
  });
});
