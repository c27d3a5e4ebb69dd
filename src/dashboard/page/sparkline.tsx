/** A curve the size of a word. */
import type { JSX } from "preact";

const [WIDTH, HEIGHT] = [120, 28];

/** Values from left to right, the least at the bottom. */
export function Sparkline({
  values,
  title,
}: {
  values: readonly number[];
  title: string;
}): JSX.Element {
  const least = Math.min(...values);
  const span = Math.max(...values) - least || 1;
  const points = values.map((value, i) => {
    const x = 2 + (i / Math.max(1, values.length - 1)) * (WIDTH - 4);
    return [x, HEIGHT - 3 - ((value - least) / span) * (HEIGHT - 6)] as const;
  });
  const [endX, endY] = points.at(-1) ?? [0, 0];
  return (
    <svg class="sparkline" width={WIDTH} height={HEIGHT} role="img" aria-label={title}>
      <title>{title}</title>
      <polyline points={points.map((point) => point.map((c) => c.toFixed(1)).join()).join(" ")} />
      <circle cx={endX} cy={endY} r="2" />
    </svg>
  );
}
