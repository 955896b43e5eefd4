import type { ListFilter, Sandbox } from '../../client/index.ts';

/** All statuses, in the order of the page. */
export const statuses = [
  'Running',
  'Pending',
  'Failed',
  'Succeeded',
  'Unknown',
  'NotFound',
] as const satisfies readonly Sandbox['status'][];

/** What was typed: the filter that the API is asked with, and the words that the page looks for itself. */
export type Search = Readonly<{ filter: ListFilter; words: readonly string[] }>;

/** Takes what was typed apart: `user_id=alice metadata.team=red web` is a filter of two, and a word. What is no filter yet is a word. */
export function parseSearch(typed: string): Search {
  const parts = typed.split(/\s+/).filter((one) => one !== '');
  const filters = parts.map(readFilter);
  const metadata = Object.assign({}, ...filters.map((one) => one?.metadata));
  return {
    filter: Object.assign({}, ...filters, Object.keys(metadata).length > 0 && { metadata }),
    words: parts.filter((_, index) => filters[index] === undefined).map((one) => one.toLowerCase()),
  };
}

function readFilter(part: string): ListFilter | undefined {
  const [, name = '', value = ''] = /^([^=]+)=(.*)$/.exec(part) ?? [];
  const [, key] = /^metadata\.(.+)$/.exec(name) ?? [];
  if (key !== undefined) return { metadata: { [key]: value } };
  const status = statuses.find((one) => one === value);
  if (name === 'status' && status !== undefined) return { status };
  if (name === 'ready' && (value === 'true' || value === 'false')) return { ready: value === 'true' };
  return (name === 'thread_id' || name === 'user_id') && value !== '' ? { [name]: value } : undefined;
}

/** Whether all words are somewhere in what the list shows of a sandbox. */
export function hasWords(sandbox: Sandbox, words: readonly string[]): boolean {
  if (words.length === 0) return true;
  const { sandbox_id, thread_id, user_id, status, reason, message, image, metadata } = sandbox;
  const pairs = Object.entries(metadata).map(([key, value]) => `${key}=${value}`);
  const text = [sandbox_id, thread_id, user_id, status, reason, message, image, ...pairs].join('\n').toLowerCase();
  return words.every((word) => text.includes(word));
}

/** Whether it is one of those that alone are shown: all, those that are not ready, or those with this status. */
export const isAmong = ({ status, ready }: Sandbox, only: string): boolean =>
  only === '' || (only === 'unready' ? !ready : status === only);
