/** The smallest value that at least this share of the values does not exceed (nearest rank); NaN of none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

export const median = (values: readonly number[]): number => percentile(values, 0.5);

/** What stands in a table: a list of samples is shown as its median, and in brackets what one in twenty is above. */
export type Cell = string | number | readonly number[] | undefined;

/** Prints a Markdown table under its title. */
export function printTable(title: string, head: readonly string[], rows: readonly (readonly Cell[])[]): void {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const lines = rows.map((row) => line(row.map(show)));
  console.log([`## ${title}\n`, line(head), line(head.map(() => '---')), ...lines, ''].join('\n'));
}

function show(cell: Cell): string {
  if (typeof cell === 'object')
    return cell.length === 0 ? '' : `${show(median(cell))} (${show(percentile(cell, 0.95))})`;
  return typeof cell === 'number' ? String(Number(cell.toPrecision(3))) : (cell ?? '');
}

/** How far the one is above the other, by their medians: in the samples' unit, and in per cent. */
export function showOver(samples: readonly number[], floor: readonly number[]): string {
  const over = median(samples) - median(floor);
  return `${show(over)} = ${Math.round((over / median(floor)) * 100)} %`;
}
