const units = [
  ['d', 86_400],
  ['h', 3_600],
  ['min', 60],
  ['s', 1],
] as const;

/** A time span, as exactly as one looks at it: `3 h 12 min`, `23 h`, `5 min`, `8 s`. What is over is `0 s`. */
export function formatSpan(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const first = units.findIndex(([, size]) => seconds >= size);
  const [unit, size] = units[first] ?? ['s', 1];
  const [finer, finerSize] = units[first + 1] ?? ['s', 1];
  const count = Math.floor(seconds / size);
  const rest = Math.floor((seconds % size) / finerSize);
  return count < 10 && rest > 0 && finer !== 's' ? `${count} ${unit} ${rest} ${finer}` : `${count} ${unit}`;
}

/** How long ago that was; a dash where nobody knows. */
export const formatAge = (time: string | null): string =>
  time === null ? '–' : formatSpan(Date.now() - Date.parse(time));

/** How long it is until then; `for ever` where there is no end. */
export const formatLeft = (time: string | null): string =>
  time === null ? 'for ever' : formatSpan(Date.parse(time) - Date.now());

/** The time by the reader's own clock. */
export const formatTime = (time: string | Date | null): string =>
  time === null ? '–' : new Date(time).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
