const units = [
  ['d', 86_400],
  ['h', 3_600],
  ['min', 60],
  ['s', 1],
] as const;

/** A time span in two units at most: `3 h 12 min`. Less than a second, and what is over, is `0 s`. */
export function formatSpan(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const first = units.findIndex(([, size]) => seconds >= size);
  if (first === -1) return '0 s';
  let rest = seconds;
  const parts: string[] = [];
  for (const [unit, size] of units.slice(first, first + 2)) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) parts.push(`${count} ${unit}`);
  }
  return parts.join(' ');
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
