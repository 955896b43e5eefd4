import { PbfWriter } from 'pbf';

/** A field of a message, by its number: a text, a number, or a message. */
export type Field = [number: number, value: string | number | Field[]];

function write(fields: Field[]): Uint8Array {
  const writer = new PbfWriter();
  for (const [number, value] of fields) {
    if (typeof value === 'string') writer.writeStringField(number, value);
    else if (typeof value === 'number') writer.writeVarintField(number, value);
    else writer.writeBytesField(number, write(value));
  }
  return writer.finish();
}

/** An answer of the API server: an object of the kind in its envelope. */
export const answerOf = (kind: string, object: Field[]): Buffer => {
  const type: Field[] = [
    [1, 'v1'],
    [2, kind],
  ];
  const envelope: Field[] = [
    [1, type],
    [2, object],
    [3, ''],
    [4, ''],
  ];
  return Buffer.concat([Buffer.from('k8s\0'), write(envelope)]);
};

/** The same of a list. */
export const listOf = (kind: string, items: Field[][], token = ''): Buffer =>
  answerOf(kind, [
    [
      1,
      [
        [1, ''],
        [2, '14590'],
        [3, token],
      ] as Field[],
    ],
    ...items.map((item): Field => [2, item]),
  ]);
