/** Tasks from a generator, by number. */
import { ForgeError } from "../../engine/error.ts";

/**
 * Task number `index` of what a generator yields. It is run as far as it is asked, once; what it has yielded is kept, since
 * episodes may begin again.
 *
 * Errors    `tasks_exhausted` for a task behind its last.
 */
export function taskStream<Task>(tasks: () => Generator<Task>): (index: number) => Task {
  let running: Generator<Task> | undefined;
  const known: Task[] = [];
  return (index) => {
    running ??= tasks();
    while (known.length <= index) {
      const { value, done } = running.next();
      if (done) throw exhausted(index, known.length);
      known.push(value);
    }
    return known[index] as Task;
  };
}

function exhausted(index: number, count: number): ForgeError {
  return new ForgeError({
    code: "tasks_exhausted",
    what: `the generator of tasks has ended before task ${index}.`,
    got: count === 1 ? "1 task" : `${count} tasks`,
    why: "a generator is read on and on",
    fix: "give a list, which is gone through again and again, or let the generator go on",
  });
}
