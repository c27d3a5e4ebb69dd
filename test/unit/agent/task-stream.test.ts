import { describe, expect, it } from "vitest";
import { taskStream } from "../../../src/agent/task-stream.ts";
import { codeOf } from "../../support/errors.ts";

describe("taskStream", () => {
  it("runs a generator once, as far as it is asked", () => {
    let made = 0;
    const tasks = taskStream(function* () {
      for (;;) yield { n: made++ };
    });
    const third = tasks(2);
    expect(third).toEqual({ n: 2 });
    expect(tasks(0)).toEqual({ n: 0 });
    expect(tasks(2)).toBe(third);
    expect(made).toBe(3);
  });

  it("names the task that a generator has not got to", () => {
    const tasks = taskStream(function* () {
      yield* ["a", "b"];
    });
    expect(tasks(1)).toBe("b");
    expect(codeOf(() => tasks(2))).toBe("tasks_exhausted");
    expect(() => tasks(5)).toThrow(/before task 5.*2 tasks/s);
    expect(tasks(0)).toBe("a");
  });
});
