/** A line of rollouts.jsonl as a row of a list. */
import type { RolloutRecord, RolloutRow, RolloutTurn } from "../api.ts";

/** UTF-16 units of the answer that a list shows. */
const EXCERPT = 160;

/** The row of a record. A file may hold anything: what is not as it was written counts as absent. */
export function rolloutRow(
  number: number,
  record: RolloutRecord & { group?: unknown },
): RolloutRow {
  const turns = listOf(record.turns).filter((turn) => typeof turn === "object" && turn !== null);
  const calls = listOf(record.toolCalls);
  return {
    number,
    step: numberOr(record.step, 0),
    group: numberOr(record.group, -1),
    task: textOf(record.task).slice(0, EXCERPT),
    status: textOf(record.status),
    isSuccess: record.isSuccess === true,
    reward: numberOr(record.reward, null),
    tokens: turns.reduce((sum, { responseIds }) => sum + listOf(responseIds).length, 0),
    turns: turns.length,
    toolCalls: calls.length,
    toolErrors: calls.filter((call) => call?.status !== "ok").length,
    surprise: surpriseOf(turns),
    excerpt: textOf(turns.at(-1)?.response).slice(0, EXCERPT),
  };
}

/**
 * The greatest |advantage| · −log-prob of a token: one that the policy did not expect of itself, and that mattered. `null`
 * where no token has an advantage.
 */
function surpriseOf(turns: readonly RolloutTurn[]): number | null {
  let most: number | null = null;
  for (const { advantages, rolloutLogprobs } of turns) {
    const logprobs = listOf(rolloutLogprobs);
    listOf(advantages).forEach((advantage, t) => {
      const surprise = Math.abs(advantage) * -(logprobs[t] ?? 0);
      if (surprise >= (most ?? 0)) most = surprise;
    });
  }
  return most;
}

function listOf<T>(value: readonly T[] | undefined): readonly T[] {
  return Array.isArray(value) ? value : [];
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function numberOr<T>(value: unknown, otherwise: T): number | T {
  return typeof value === "number" ? value : otherwise;
}
