import { describe, expect, it } from "vitest";
import { compareEvaluations } from "../../../src/train/evaluation/comparison.ts";
import {
  comparisonText,
  evaluationText,
  transcriptsText,
} from "../../../src/train/evaluation/printing.ts";
import {
  type EvaluatedEpisode,
  type EvaluationReport,
  evaluationReport,
} from "../../../src/train/evaluation/report.ts";

/** Three tasks of four samples; `add` more successes of each. */
function episodes(add = 0): EvaluatedEpisode[] {
  return ["7+5", "60+50", "say \u001b[31mred"].flatMap((taskId, taskIndex) =>
    [0, 1, 2, 3].map((sampleIndex): EvaluatedEpisode => {
      const isSuccess = sampleIndex < ([3, 1, 2][taskIndex] ?? 0) + add;
      return {
        ...{ taskId, taskIndex, sampleIndex, isSuccess },
        reward: isSuccess ? 1.1 : 0.1,
        components: { correct: isSuccess ? 1 : 0, format: 0.1, speed: null },
        status: taskIndex === 1 && sampleIndex === 3 ? "truncated" : "completed",
        sampledTokens: 10 + sampleIndex,
        transcript: [{ prompt: `${taskId}=`, response: isSuccess ? "12\n" : "\u001b[2Jno\rway" }],
      };
    }),
  );
}

const report = (of = episodes()): EvaluationReport =>
  evaluationReport(of, { environment: "sums", policyVersion: 3, seed: 1, temperature: 1 });

describe("evaluationText", () => {
  it("is figures, and tasks with the worst first", () => {
    expect(evaluationText(report())).toBe(
      [
        "success  50.0 %, 25.4 % to 74.6 % (95 % confidence): 6 of 12 plays of 3 tasks",
        "pass@1   0.500",
        "pass@4   1.000",
        "reward   0.600 · correct 0.500 · format 0.100 · speed none",
        "tokens   11.5 a play · 13 at most · 8.3 % truncated",
        "ended    11 completed · 1 truncated",
        "",
        "3 tasks:",
        "task             success  reward  tokens  correct  format  speed",
        "60+50                1/4   0.350    11.5    0.250   0.100   none",
        "say \\x1b[31mred      2/4   0.600    11.5    0.500   0.100   none",
        "7+5                  3/4   0.850    11.5    0.750   0.100   none",
      ].join("\n"),
    );
  });

  it("shows as many tasks as are asked for, the worst", () => {
    const lines = evaluationText(report(), { rows: 1 }).split("\n");
    expect(lines.slice(-3, -2)).toEqual(["the worst 1 of 3 tasks:"]);
    expect(lines.at(-1)).toMatch(/^60\+50 /);
  });

  it("leaves out the components that the width has no room for", () => {
    const heading = (columns: number): string =>
      evaluationText(report(), { columns })
        .split("\n")
        .find((line) => line.startsWith("task ")) as string;
    expect(heading(60)).toMatch(/tokens {2}correct {2}format$/);
    expect(heading(40)).toMatch(/tokens$/);
    for (const columns of [40, 50, 64, 80]) {
      const table = evaluationText(report(), { columns }).split("\n").slice(8);
      for (const line of table) expect(line.length).toBeLessThanOrEqual(columns);
    }
  });

  it("says what was not counted, and puts tasks without trials last", () => {
    const broken = { ...(episodes()[4] as EvaluatedEpisode), sampleIndex: 9 };
    const text = evaluationText(
      report([
        ...episodes().filter(({ taskIndex }) => taskIndex !== 1),
        { ...broken, status: "infra_error" },
      ]),
    );
    expect(text).toContain("· 1 infra_error (not counted)\n");
    expect(text.split("\n").at(-1)).toBe(
      "60+50                0/0    none    none     none    none   none",
    );
  });

  it("of nothing says so", () => {
    const text = evaluationText(report([]));
    expect(text).toContain("success  none, 0.0 % to 100.0 %");
    expect(text).toContain("ended    none\n\n0 tasks:\n");
  });
});

describe("comparisonText", () => {
  it("is a table, and how sure the change is", () => {
    expect(comparisonText(compareEvaluations(report(), report(episodes(1))))).toBe(
      [
        "         before   after   change",
        "success  50.0 %  75.0 %  +25.0 %",
        "pass@1    0.500   0.750   +0.250",
        "pass@4    1.000   1.000   ±0.000",
        "reward    0.600   0.850   +0.250",
        "correct   0.500   0.750   +0.250",
        "format    0.100   0.100   ±0.000",
        "speed      none    none     none",
        "tokens     11.5    11.5     ±0.0",
        "the change of success is in −12.5 % to +54.4 % (95 % confidence): no clear difference",
        "3 tasks better, 0 the same, 0 worse",
      ].join("\n"),
    );
  });

  it("says nothing of doubt where there is none", () => {
    const worse = comparisonText(compareEvaluations(report(episodes(4)), report(episodes(-4))));
    expect(worse).toMatch(/is in −100\.0 % to −\d+\.\d % \(95 % confidence\)\n0 tasks better/);
    expect(comparisonText(compareEvaluations(report([]), report()))).not.toContain("in −");
  });
});

describe("transcriptsText", () => {
  it("shows what was said, and lets it do nothing", () => {
    const [, , , , success, failure] = episodes();
    const more = [{ prompt: "a\n── success ──", response: "tab\tb\u202e" }];
    const later = { ...(failure as EvaluatedEpisode), components: { correct: 0 } };
    const text = transcriptsText([
      success as EvaluatedEpisode,
      { ...later, status: "truncated", transcript: [...later.transcript, ...more] },
    ]);
    expect(text).toBe(
      [
        "── success · task 60+50, sample 0 · reward 1.100 · correct 1.000 · format 0.100 · speed none ──",
        "> 60+50=",
        "│ 12",
        "│ ",
        "",
        "── failure · task 60+50, sample 1 · reward 0.100 · truncated ──",
        "> 60+50=",
        "│ \\x1b[2Jno\\x0dway",
        "> a",
        "> ── success ──",
        "│ tab\tb\\u{202e}",
      ].join("\n"),
    );
  });

  it("shows of a prompt that goes on what is new in it", () => {
    const [episode] = episodes();
    const transcript = [
      { prompt: "7+5=", response: "<call>calc 7+5" },
      { prompt: "7+5=<call>calc 7+5<eos>12=", response: "12" },
      { prompt: "Begin again: ", response: "13" },
    ];
    const text = transcriptsText([{ ...(episode as EvaluatedEpisode), transcript }]);
    expect(text.split("\n").slice(1)).toEqual([
      ...["> 7+5=", "│ <call>calc 7+5", "> <eos>12=", "│ 12", "> Begin again: ", "│ 13"],
    ]);
  });
});
