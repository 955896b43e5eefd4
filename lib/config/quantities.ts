import { passing } from './rules.ts';

/** The grammar of Kubernetes' resource.Quantity, without a minus; the exponent is as long as it makes sense. */
const pattern = /^\+?(?<whole>\d*)(?:\.(?<fraction>\d*))?(?<suffix>[eE][+-]?\d{1,2}|[KMGTPE]i|[numkMGTPE])?$/;

const decimal: Readonly<Record<string, number>> = { n: -9, u: -6, m: -3, k: 3, M: 6, G: 9, T: 12, P: 15, E: 18 };
const binary = 'KMGTPE';

/** No amount of Kubernetes is larger: it counts in 64 bits. */
const largest = 2n ** 63n - 1n;

/**
 * A quantity in billionths, the finest that Kubernetes keeps; what is finer is rounded up, as Kubernetes does. Exact, so that
 * `1Gi` is more than `1.07G`. Undefined for what is no quantity.
 */
export function readQuantity(text: string): bigint | undefined {
  const { whole = '', fraction = '', suffix = '' } = pattern.exec(text)?.groups ?? {};
  if (whole === '' && fraction === '') return undefined;
  const isBinary = suffix.endsWith('i');
  const exponent = /^[eE]./.test(suffix) ? Number(suffix.slice(1)) : (decimal[suffix] ?? 0);
  const scale = 9 + (isBinary ? 0 : exponent) - fraction.length;
  const factor = isBinary ? 1024n ** BigInt(binary.indexOf(suffix.charAt(0)) + 1) : 1n;
  const amount = BigInt(whole + fraction) * factor;
  if (scale >= 0) return amount * 10n ** BigInt(scale);
  const divisor = 10n ** BigInt(-scale);
  return (amount + divisor - 1n) / divisor;
}

/** An amount of a resource. Zero is none: as a limit it would mean that there is no limit. */
export const quantity = () =>
  passing(
    // No longer, because it becomes a number as long.
    [(text) => text.length <= 40, 'must be a shorter quantity'],
    [isAmount, 'must be a quantity of Kubernetes greater than zero, such as 500m or 1.5Gi'],
  );

function isAmount(text: string): boolean {
  // That is said already.
  if (text.length > 40) return true;
  const amount = readQuantity(text);
  return amount !== undefined && amount > 0n && amount <= largest * 10n ** 9n;
}
