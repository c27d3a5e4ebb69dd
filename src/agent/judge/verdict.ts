/** Scores out of what judges write. */

/** Lowest and highest score. */
export type JudgeScale = readonly [min: number, max: number];

const NUMBER = /[-+]?\d+(?:\.\d+)?/g;
const OUT_OF = /(?:\/|out of) *\d+(?:\.\d+)?/gi;

/**
 * The numbers behind the last "Score:" or "Scores:" of an answer, as parts of the scale from 0 to 1; "7/10" is 7.
 *
 * Throws    Error, in words for the judge, where there are not `count` of them, or one is off the scale
 */
export function readScores(answer: string, count: number, [min, max]: JudgeScale): number[] {
  const label = count === 1 ? "Score:" : "Scores:";
  const line = lastLine(answer);
  if (line === undefined) throw new Error(`there is no line that begins with "${label}".`);
  const scores = (line.replace(OUT_OF, "").match(NUMBER) ?? []).map(Number);
  if (scores.length !== count)
    throw new Error(`the line "${label}" has ${scores.length} numbers and not ${count}.`);
  const bad = scores.find((score) => score < min || score > max);
  if (bad !== undefined) throw new Error(`${bad} is not from ${min} to ${max}.`);
  return scores.map((score) => (score - min) / (max - min));
}

function lastLine(answer: string): string | undefined {
  for (const line of answer.split("\n").reverse()) {
    const match = /^[\s*_#>`-]*scores?[\s*_`]*:(.*)$/i.exec(line);
    if (match) return match[1];
  }
  return undefined;
}
