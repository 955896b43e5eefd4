import { PbfWriter } from 'pbf';

/** A field of a message, by its number: a text, a number, or a message. */
export type Field = readonly [number: number, value: string | number | readonly Field[]];

/** Makes one. */
export const field = (number: number, value: string | number | readonly Field[]): Field => [number, value];

function write(fields: readonly Field[]): Uint8Array {
  const writer = new PbfWriter();
  for (const [number, value] of fields) {
    if (typeof value === 'string') writer.writeStringField(number, value);
    else if (typeof value === 'number') writer.writeVarintField(number, value);
    else writer.writeBytesField(number, write(value));
  }
  return writer.finish();
}

/** An answer of the API server: an object of the kind in its envelope. */
export function answerOf(kind: string, object: readonly Field[]): Buffer {
  const type = [field(1, 'v1'), field(2, kind)];
  return Buffer.concat([Buffer.from('k8s\0'), write([field(1, type), field(2, object), field(3, ''), field(4, '')])]);
}

/** The same of a list. */
export const listOf = (kind: string, items: readonly (readonly Field[])[], token = ''): Buffer =>
  answerOf(kind, [
    field(1, [field(1, ''), field(2, '14590'), field(3, token)]),
    ...items.map((item) => field(2, item)),
  ]);
