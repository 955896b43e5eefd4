import type { Sandbox } from '../../client/index.ts';

/** The filters of the API that can be typed, beside `metadata.<key>`. */
const filters: readonly string[] = ['status', 'ready', 'thread_id', 'user_id'];

/** What was typed: the filters that the API is asked with, and the words that the page looks for itself. */
export type Search = Readonly<{ query: Readonly<Record<string, string>>; words: readonly string[] }>;

/** Takes what was typed apart: `user_id=alice metadata.team=red web` is two filters and a word. */
export function parseSearch(typed: string): Search {
  const query: Record<string, string> = {};
  const words: string[] = [];
  for (const part of typed.split(/\s+/).filter((one) => one !== '')) {
    const [, name = '', value = ''] = /^([^=]+)=(.*)$/.exec(part) ?? [];
    if (filters.includes(name) || name.startsWith('metadata.')) {
      if (value !== '' || name.startsWith('metadata.')) query[name] = value;
    } else words.push(part.toLowerCase());
  }
  return { query, words };
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
  only === '' || only === 'all' || (only === 'unready' ? !ready : status === only);
