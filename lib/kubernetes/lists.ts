import { PbfReader } from 'pbf';
import { type ListedPod, type ListedService, listedAnnotations, listedLabels } from '../model/listed.ts';
import { metadataPrefix } from '../model/names.ts';
import { isOwned } from '../model/ownership.ts';
import { foreignAnswerError } from './errors.ts';

/** The media type of what the API server writes fastest, and what takes least time to read. */
export const protobufType = 'application/vnd.kubernetes.protobuf';

/** A list, or a page of one; with `_continue` there is more. */
export type Listed<T> = { items: T[]; metadata: { _continue?: string } };

/** What Kubernetes says of a list that it refuses, as it stands in JSON. */
export type Status = { kind: 'Status'; reason?: string; message?: string };

/**
 * Reads out of a list of Pods what is judged by, and skips the rest, of which most says who set what. A text that is not set
 * may be an empty one. Throws for an answer that is no such list, or not a whole one.
 */
export const readPods = (answer: Buffer): Listed<ListedPod> => readList('PodList', pod, answer);

/** The same for Services. */
export const readServices = (answer: Buffer): Listed<ListedService> => readList('ServiceList', service, answer);

/** Why a call was refused; undefined where the answer does not say it. */
export function readStatus(answer: Buffer): Status | undefined {
  try {
    return { kind: 'Status', ...readObject('Status', status, answer) };
  } catch {
    return undefined;
  }
}

function readList<F extends Fields>(kind: string, item: F, answer: Buffer): Listed<Read<F>> {
  const list = { 1: one('metadata', { 3: text('continue') }), 2: oneOf('items', item) };
  const { metadata, items = [] } = readObject(kind, list, answer);
  return { items, metadata: metadata?.continue ? { _continue: metadata.continue } : {} };
}

/** The object of this kind that is in an answer, behind what each begins with, in its envelope. */
function readObject<F extends Fields>(kind: string, fields: F, answer: Buffer): Read<F> {
  try {
    if (answer.toString('latin1', 0, 4) !== 'k8s\0') throw new Error('it is no protobuf of Kubernetes');
    const { type, object } = readWhole(answer.subarray(4), envelope);
    if (type?.kind !== kind || object === undefined) throw new Error(`it is no ${kind}`);
    return readWhole(object, fields);
  } catch (cause) {
    throw foreignAnswerError(200, undefined, cause);
  }
}

const readWhole = <F extends Fields>(message: Buffer, fields: F): Read<F> =>
  readMessage(new PbfReader(message), fields, message.length);

/** What is done with the fields of a message, by their numbers. Those that are not named are skipped. */
type Fields = Readonly<Record<number, Field<never>>>;
type Field<T> = (target: T, reader: PbfReader, end: number) => void;

/** What becomes of a message whose fields are read so. */
type Read<F extends Fields> = F extends Readonly<Record<number, Field<infer T>>> ? T : never;

/** Reads a message that ends there. The library does not mind one that ends in the middle of a field. */
function readMessage<F extends Fields>(reader: PbfReader, fields: F, end: number, target = {} as Read<F>): Read<F> {
  for (let field = reader.nextField(end); field !== 0; field = reader.nextField(end)) {
    fields[field]?.(target as never, reader, end);
  }
  if (reader.pos !== end) throw new Error('it is not whole');
  return target;
}

/** Reads a message within another one. */
function readInner<F extends Fields>(reader: PbfReader, fields: F, target?: Read<F>): Read<F> {
  const length = reader.readVarint();
  return readMessage(reader, fields, reader.pos + length, target);
}

type Having<Name extends string, T> = { [name in Name]?: T };

const text =
  <Name extends string>(name: Name): Field<Having<Name, string>> =>
  (target, reader) => {
    target[name] = readText(reader);
  };

/** As the library's `readString`, but with Node's own decoder, which needs no view of the bytes for it. */
function readText(reader: PbfReader): string {
  const end = reader.readVarint() + reader.pos;
  const text = (reader.buf as Buffer).toString('utf8', reader.pos, end);
  reader.pos = end;
  return text;
}

const integer =
  <Name extends string>(name: Name): Field<Having<Name, number>> =>
  (target, reader) => {
    target[name] = reader.readVarint(true);
  };

const flag =
  <Name extends string>(name: Name): Field<Having<Name, boolean>> =>
  (target, reader) => {
    target[name] = reader.readBoolean();
  };

const bytes =
  <Name extends string>(name: Name): Field<Having<Name, Buffer>> =>
  (target, reader) => {
    // A part of a Buffer is one as well.
    target[name] = reader.readBytes() as Buffer;
  };

/** A time, of which an empty message says that there is none. */
const time =
  <Name extends string>(name: Name): Field<Having<Name, Date>> =>
  (target, reader) => {
    const { seconds } = readInner(reader, timestamp);
    if (seconds !== undefined) target[name] = new Date(seconds * 1000);
  };

type Entry = { key?: string; isOther?: boolean; value?: string };

/**
 * An entry of a map, if it is one of these keys' or of a key that begins so, all of them ASCII: what has not the length of any needs
 * no decoding.
 */
const entryOf = <Name extends string, Key extends string, Prefix extends string = never>(
  name: Name,
  keys: readonly Key[],
  prefix?: Prefix,
): Field<Having<Name, Partial<Record<Key | `${Prefix}${string}`, string>>>> => {
  const lengths = new Set(keys.map((key) => key.length));
  const hasPrefix = (length: number, reader: PbfReader) =>
    prefix !== undefined && length > prefix.length && isNext(reader, prefix);
  const isAsked = (key: string): key is Key | `${Prefix}${string}` =>
    keys.includes(key as Key) || (prefix !== undefined && key.startsWith(prefix));
  const fields = {
    1: (entry: Entry, reader: PbfReader) => {
      const { pos } = reader;
      const length = reader.readVarint();
      entry.isOther = !lengths.has(length) && !hasPrefix(length, reader);
      reader.pos = pos;
      if (!entry.isOther) entry.key = readText(reader);
    },
    2: unless(({ isOther = false }: Entry) => isOther, text('value')),
  };
  return (target, reader) => {
    const { key = '', value = '' } = readInner<typeof fields>(reader, fields);
    if (!isAsked(key)) return;
    target[name] ??= {};
    target[name][key] = value;
  };
};

/** A text if it is one of these, which are ASCII: it is compared, not decoded. Of a message with another, the rest is skipped. */
const oneOfWords =
  <Name extends string, Word extends string>(name: Name, words: readonly Word[]): Field<Having<Name, Word>> =>
  (target, reader, end) => {
    const length = reader.readVarint();
    for (const word of words) {
      if (word.length === length && isNext(reader, word)) {
        reader.pos += length;
        target[name] = word;
        return;
      }
    }
    reader.pos = end;
  };

function isNext({ buf, pos }: PbfReader, word: string): boolean {
  for (let i = 0; i < word.length; i += 1) if (buf[pos + i] !== word.charCodeAt(i)) return false;
  return true;
}

/** A field that is not read where what was read before it shows that nobody asks for it. */
const unless =
  <C, T>(condition: (target: C) => boolean, field: Field<T>): Field<C & T> =>
  (target, reader, end) => {
    if (!condition(target)) field(target, reader, end);
  };

/** A field behind which the rest of its message is skipped where what was read shows that nobody asks for it. */
const until =
  <C, T>(condition: (target: C) => boolean, field: Field<T>): Field<C & T> =>
  (target, reader, end) => {
    field(target, reader, end);
    if (condition(target)) reader.pos = end;
  };

/** A field that is read in one way where what was read before it is so, and in another where not. */
const either =
  <C, T, U>(condition: (target: C) => boolean, whereSo: Field<T>, whereNot: Field<U>): Field<C & T & U> =>
  (target, reader, end) => {
    (condition(target) ? whereSo : whereNot)(target, reader, end);
  };

const one =
  <Name extends string, F extends Fields>(name: Name, fields: F): Field<Having<Name, Read<F>>> =>
  (target, reader) => {
    target[name] = readInner(reader, fields);
  };

const oneOf =
  <Name extends string, F extends Fields>(name: Name, fields: F): Field<Having<Name, Read<F>[]>> =>
  (target, reader) => {
    target[name] ??= [];
    target[name].push(readInner(reader, fields));
  };

/** A message whose fields stand among those of the message around it in JSON. */
const inline =
  <F extends Fields>(fields: F): Field<Read<F>> =>
  (target, reader) => {
    readInner(reader, fields, target);
  };

// The numbers of the fields are those of `generated.proto` in k8s.io/apimachinery (runtime, meta/v1) and in k8s.io/api (core/v1).
// Kubernetes stores its objects by them, so they do not change.

const envelope = { 1: one('type', { 2: text('kind') }), 2: bytes('object') };

const timestamp = { 1: integer('seconds') };

const metadata = {
  1: text('name'),
  3: text('namespace'),
  5: text('uid'),
  6: text('resourceVersion'),
  8: time('creationTimestamp'),
  9: time('deletionTimestamp'),
  11: entryOf('labels', listedLabels, metadataPrefix),
  12: entryOf('annotations', listedAnnotations),
  13: oneOf('ownerReferences', { 4: text('uid') }),
};

const hasNotEnded = ({ phase }: { phase?: string }) => phase === 'Running' || phase === 'Pending';

const condition = {
  1: text('type'),
  2: text('status'),
  4: time('lastTransitionTime'),
  5: text('reason'),
  6: text('message'),
};

type Condition = { type?: string; status?: string };

const isTrueReady = ({ type, status }: Condition) => type === 'Ready' && status === 'True';

/** Nearly all Pods of a list are ready, and nothing else is asked of their status. */
const isReady = ({ conditions }: { conditions?: Condition[] }) => isTrueReady(conditions?.at(-1) ?? {});

/** What is read of a condition while a Pod has not ended. */
const livingCondition = {
  ...condition,
  1: oneOfWords('type', ['Ready', 'PodScheduled']),
  2: until(isTrueReady, oneOfWords('status', ['True', 'False', 'Unknown'])),
};

const state = {
  1: one('waiting', { 1: text('reason'), 2: text('message') }),
  2: one('running', { 1: time('startedAt') }),
  3: one('terminated', { 1: integer('exitCode'), 3: text('reason'), 6: time('finishedAt') }),
};

const containerStatus = {
  1: text('name'),
  2: one('state', state),
  3: one('lastState', state),
  4: flag('ready'),
  5: integer('restartCount'),
  9: flag('started'),
};

const container = { 1: text('name'), 2: text('image'), 7: oneOf('env', { 1: text('name'), 2: text('value') }) };

const hasOwner = (pod: { metadata?: { ownerReferences?: { uid?: string }[] } }) => isOwned(pod);

/** What of a Pod's spec is read in any case, and what of one that the original provisioner made. */
const podSpec = { 2: oneOf('containers', container) };
const mountingPodSpec = {
  1: oneOf('volumes', { 1: text('name'), 2: inline({ 1: one('hostPath', { 1: text('path') }) }) }),
  2: oneOf('containers', { ...container, 9: oneOf('volumeMounts', { 3: text('mountPath'), 4: text('subPath') }) }),
};

const pod = {
  1: one('metadata', metadata),
  2: either(hasOwner, one('spec', podSpec), one('spec', mountingPodSpec)),
  3: one('status', {
    1: text('phase'),
    2: either(hasNotEnded, until(isReady, oneOf('conditions', livingCondition)), oneOf('conditions', condition)),
    3: unless(hasNotEnded, text('message')),
    4: unless(hasNotEnded, text('reason')),
    8: oneOf('containerStatuses', containerStatus),
  }),
};

const service = {
  1: one('metadata', metadata),
  2: one('spec', {
    1: oneOf('ports', { 1: text('name'), 3: integer('port'), 5: integer('nodePort') }),
    4: text('type'),
  }),
};

const status = { 3: text('message'), 4: text('reason') };

/** Whether what is read has every field that a type has, in all that is within it as well. */
type HasAll<T, F extends Fields> = [Full<Read<F>>] extends [Full<T>] ? true : false;
type Full<T> = T extends Date | string | number | boolean
  ? T
  : T extends readonly (infer Item)[]
    ? Full<Item>[]
    : { [Name in keyof T]-?: Full<NonNullable<T[Name]>> };

true satisfies HasAll<ListedPod, typeof pod>;
true satisfies HasAll<ListedService, typeof service>;
