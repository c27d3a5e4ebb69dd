/** Metrics that grow. */
import type { MetricRows } from "../api.ts";

/** Rows and those that follow them; the new ones alone where they do not follow. */
export function merge(old: MetricRows, news: MetricRows): MetricRows {
  if (news.generation !== old.generation || news.from !== old.steps.length) return news;
  const names = new Set([...Object.keys(old.columns), ...Object.keys(news.columns)]);
  const blank = (count: number): null[] => new Array<null>(count).fill(null);
  return {
    ...news,
    from: 0,
    steps: [...old.steps, ...news.steps],
    wallTimes: [...old.wallTimes, ...news.wallTimes],
    columns: Object.fromEntries(
      [...names].map((name) => [
        name,
        [
          ...(old.columns[name] ?? blank(old.steps.length)),
          ...(news.columns[name] ?? blank(news.steps.length)),
        ],
      ]),
    ),
  };
}
