import { apiVersionOf, type Kind, type KubernetesObject, pluralOf } from './objects.ts';
import { badRequest, StatusError, unsupported } from './status.ts';
import type { Store } from './store.ts';
import type { Timers } from './timers.ts';

type Labels = Record<string, string>;

/** `a=b`, `a==b`, `a!=b`, `a in (b, c)`, `a notin (b, c)`, `a` or `!a` */
const REQUIREMENT =
  /^(?:(?<not>!)\s*)?(?<key>[\w./-]+)(?:\s*(?<sign>==?|!=)\s*(?<value>[\w.-]*)|\s+(?<set>in|notin)\s*\((?<values>[\w.,\s-]*)\))?$/;

function readRequirement(text: string): (labels: Labels) => boolean {
  const { not, key = '', sign, value, set, values = '' } = REQUIREMENT.exec(text)?.groups ?? {};
  if (key === '' || (not && (sign || set))) throw badRequest(`unable to parse requirement: ${JSON.stringify(text)}`);
  if (!sign && !set) return (labels) => Object.hasOwn(labels, key) === !not;
  const wanted = set ? values.split(',').map((one) => one.trim()) : [value];
  const isWanted = set === 'in' || sign === '=' || sign === '==';
  return (labels) => (Object.hasOwn(labels, key) && wanted.includes(labels[key])) === isWanted;
}

/** Reads a `labelSelector`; throws a 400 where it cannot be read. */
function readSelector(text: string): (object: KubernetesObject) => boolean {
  // At the commas that are not within parentheses.
  const parts = text.trim() === '' ? [] : text.split(/,(?![^(]*\))/);
  const requirements = parts.map((part) => readRequirement(part.trim()));
  return ({ metadata }) => requirements.every((matches) => matches(metadata.labels ?? {}));
}

/** Reads a `fieldSelector`, of what an event is about; throws a 501 for others. */
function readFieldSelector(kind: Kind, text: string): (object: KubernetesObject) => boolean {
  const wanted = text.split(',').filter(Boolean);
  const requirements = wanted.map((part) => {
    const [, field = '', value] = /^involvedObject\.(\w+)==?([^=!]*)$/.exec(part) ?? [];
    if (kind !== 'Event' || field === '') throw unsupported('fieldSelector');
    return { field, value };
  });
  return (object) =>
    requirements.every(({ field, value }) => object.kind === 'Event' && object.involvedObject[field] === value);
}

type Continue = { v: string; rv: number; start: string };

const encodeContinue = (rv: number, start: string): string =>
  Buffer.from(JSON.stringify({ v: 'meta.k8s.io/v1', rv, start })).toString('base64url');

function decodeContinue(token: string): Continue {
  try {
    const { v, rv, start } = JSON.parse(Buffer.from(token, 'base64url').toString());
    if (v === 'meta.k8s.io/v1' && Number.isInteger(rv) && typeof start === 'string') return { v, rv, start };
  } catch {
    // Said below.
  }
  throw badRequest('invalid continue token: continue key is not valid: it is none of this server');
}

/** As long as Kubernetes remembers what was. */
const PAGES_LIFE_MS = 300_000;

const EXPIRED =
  'The provided continue parameter is too old to display a consistent list result. You can start a new list ' +
  'without the continue parameter, or use the continue token in this response to retrieve the remainder of the ' +
  'results. Continuing with the provided token results in an inconsistent list - objects that were created, ' +
  'modified, or deleted between the time the first chunk was returned and now may show up in the list.';

/**
 * Makes the function that answers a list, with `labelSelector`, `fieldSelector`, `limit` and `continue`: all pages show what there was at
 * the first one.
 */
export function createLists(store: Store, timers: Timers) {
  /** The lists of which a page was given out, by kind, namespace and resource version. */
  const kept = new Map<string, KubernetesObject[]>();

  return (kind: Kind, namespace: string | undefined, query: URLSearchParams): object => {
    const matches = readSelector(query.get('labelSelector') ?? '');
    const matchesFields = readFieldSelector(kind, query.get('fieldSelector') ?? '');
    const limit = query.get('limit') || '0';
    if (!/^\d+$/.test(limit)) throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(limit)}: invalid syntax`);
    const { rv, start } = query.get('continue') ? decodeContinue(query.get('continue') ?? '') : { rv: -1, start: '' };
    // Also -1: the token of a 410 continues with what there is now.
    const revision = rv > 0 ? rv : store.revision();
    const key = `${pluralOf(kind)}/${namespace}@${revision}`;
    const all = rv > 0 ? kept.get(key) : store.list(kind, namespace);
    if (all === undefined) {
      throw new StatusError(410, 'Expired', EXPIRED, undefined, { continue: encodeContinue(-1, start) });
    }
    const following = all.filter((object) => object.metadata.name >= start);
    const items = following.filter((object) => matches(object) && matchesFields(object));
    const page = limit === '0' ? items : items.slice(0, Number(limit));
    const remaining = items.length - page.length;
    // The server does not look on, behind a page that is full, whether any of the rest is selected.
    const isFull = limit !== '0' && page.length === Number(limit);
    const hasMore = isFull && page.at(-1) !== following.at(-1);
    if (hasMore && !kept.has(key)) {
      kept.set(key, all);
      timers.after(PAGES_LIFE_MS, () => kept.delete(key));
    }
    const metadata = {
      resourceVersion: String(revision),
      ...(hasMore && { continue: encodeContinue(revision, `${page.at(-1)?.metadata.name}\0`) }),
      // With a selector the server does not count what it has not looked at.
      ...(remaining > 0 && !query.get('labelSelector') && { remainingItemCount: remaining }),
    };
    // In a list Kubernetes leaves each item's kind out.
    const shown = page.map(({ kind, apiVersion, ...rest }) => rest);
    return { kind: `${kind}List`, apiVersion: apiVersionOf(kind), metadata, items: shown };
  };
}
