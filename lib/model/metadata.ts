import type { RequestIssue } from '../errors.ts';
import { metadataPrefix } from './names.ts';

/** What callers note of a sandbox, by keys of their own. Kept as labels of its Service, so that Kubernetes selects by them. */
export type Metadata = Readonly<Record<string, string>>;

/** What is to change of it: null takes a key away. */
export type MetadataChange = Readonly<Record<string, string | null>>;

/** How many pairs a sandbox has at most. */
export const maxMetadataPairs = 16;

/** The labels that metadata are, or the changes of labels that changes of it are. */
export const metadataLabels = <Value extends string | null>(metadata: Readonly<Record<string, Value>>) =>
  Object.fromEntries(Object.entries(metadata).map(([key, value]) => [`${metadataPrefix}${key}`, value]));

/** The metadata that there are among the labels of a Service. A list does this for thousands. */
export function findMetadata(labels: Readonly<Record<string, string | undefined>> = {}): Record<string, string> {
  const metadata: Record<string, string> = {};
  for (const [name, value = ''] of Object.entries(labels)) {
    if (name.startsWith(metadataPrefix)) metadata[name.slice(metadataPrefix.length)] = value;
  }
  return metadata;
}

/** The keys that do not have the value that was asked for. */
export const findUnmetMetadata = (asked: Metadata, found: Metadata): string[] =>
  Object.keys(asked).filter((key) => !Object.hasOwn(found, key) || found[key] !== asked[key]);

/** What of a change is not so already. */
export const findDueChange = (change: MetadataChange, found: Metadata): MetadataChange =>
  Object.fromEntries(
    Object.entries(change).filter(([key, value]) => (Object.hasOwn(found, key) ? found[key] : null) !== value),
  );

/** What is wrong with metadata of more pairs than a sandbox may have: `count`, with `input` or after it. */
export const tooManyPairs = (count: number, input: unknown): RequestIssue => ({
  type: 'too_long',
  loc: ['body', 'metadata'],
  msg: `Dictionary should have at most ${maxMetadataPairs} items after validation, not ${count}`,
  input,
  ctx: { field_type: 'Dictionary', max_length: maxMetadataPairs, actual_length: count },
});
