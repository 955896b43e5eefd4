import type { Sample } from './history.ts';

/** The drawing's own units. */
const [width, height] = [100, 24];

/** How a count went over the time that the page is open: each has its own scale, from 0 to the most that there were. */
export function Chart({ samples, of }: { samples: readonly Sample[]; of: string }) {
  const [first] = samples;
  const last = samples.at(-1);
  if (first === undefined || last === undefined) return <svg class="chart" aria-hidden="true" />;
  const spanMs = Math.max(1, last.at - first.at);
  const most = Math.max(1, ...samples.map(({ counts }) => counts[of] ?? 0));
  // In steps: between two looks nobody knows.
  const points = samples.map(({ at, counts }, index) => {
    const x = (((at - first.at) / spanMs) * width).toFixed(2);
    const y = (height - 1 - ((counts[of] ?? 0) / most) * (height - 2)).toFixed(2);
    return index === 0 ? `M0 ${y}` : `H${x}V${y}`;
  });
  const line = `${points.join('')}H${width}`;
  return (
    <svg class="chart" viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" aria-hidden="true">
      <path class="area" d={`${line}V${height}H0Z`} />
      <path class="line" d={line} />
    </svg>
  );
}
