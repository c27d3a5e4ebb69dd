/** The same problems for an agent without a calculator: what the tool is worth. */
import { defineEnvironment } from "forge-gpu";
import { answer, type Problem, tasks } from "./environment.ts";

export const environment = defineEnvironment<Problem>({
  name: "without-tool",
  tasks,
  taskId: ({ text }) => text,
  user: ({ text }) => text,
  maxTokens: 16,
  rewards: { right: ({ task, text }) => Number(text === answer(task)) },
  demonstration: ({ task }) => answer(task),
  isPure: true,
});
