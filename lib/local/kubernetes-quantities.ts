const UNITS: Record<string, number> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

const BINARY = ['Ei', 'Pi', 'Ti', 'Gi', 'Mi', 'Ki'];
const DECIMAL = ['E', 'P', 'T', 'G', 'M', 'k', '', 'm', 'u', 'n'];

/** The number that a quantity (`100m`, `1Gi`, `2e3`) stands for; NaN for what is none. */
export function parseQuantity(text: string): number {
  const match = /^([+-]?(?:\d+\.?\d*|\.\d+))(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?\d+))?$/.exec(text);
  if (match === null) return Number.NaN;
  return Number(match[1]) * (match[3] === undefined ? (UNITS[match[2] ?? ''] ?? 1) : 10 ** Number(match[3]));
}

/** Writes a number as Kubernetes does: the largest unit that leaves it whole (`1000m` is `1`). */
export function formatQuantity(value: number, binary: boolean): string {
  if (value === 0) return '0';
  for (const unit of binary ? [...BINARY, ...DECIMAL.slice(6)] : DECIMAL) {
    const count = value / (UNITS[unit] ?? 1);
    const whole = Math.round(count);
    if (whole !== 0 && Math.abs(count - whole) < 1e-6) return `${whole}${unit}`;
  }
  return String(value);
}

export const isBinaryQuantity = (text: string): boolean => text.endsWith('i');

/** The same quantity in the form in which Kubernetes gives it back. */
export const canonicalQuantity = (text: string): string => formatQuantity(parseQuantity(text), isBinaryQuantity(text));
