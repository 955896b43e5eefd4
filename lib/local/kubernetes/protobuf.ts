import { PbfWriter } from 'pbf';
import { isObject } from './objects.ts';

/** The media type of Kubernetes' protobuf. */
export const protobufType = 'application/vnd.kubernetes.protobuf';

/** Writes a field's value, which may be missing; `parent` is the object that the field belongs to. */
type Write = (writer: PbfWriter, number: number, value: unknown, parent: object) => void;

/** The fields of a message by their names in JSON, with their numbers in protobuf, in the order of these, as Go writes them. */
type Fields = Readonly<Record<string, readonly [number: number, write: Write]>>;

const writeFields = (fields: Fields) => (object: object, writer: PbfWriter) => {
  const values: Record<string, unknown> = { ...object };
  for (const [name, [number, write]] of Object.entries(fields)) write(writer, number, values[name], object);
};

// What Go holds by value is written even if it is not set, as an empty text, a 0 or a message without fields.

const text: Write = (writer, number, value) => writer.writeStringField(number, String(value ?? ''));

const integer: Write = (writer, number, value) => writer.writeVarintField(number, Number(value ?? 0));

const message =
  (fields: Fields): Write =>
  (writer, number, value) =>
    writer.writeMessage(number, writeFields(fields), isObject(value) ? value : {});

const timestamp = writeFields({ seconds: [1, integer], nanos: [2, integer] });

const time: Write = (writer, number, value) => {
  const write = typeof value === 'string' ? timestamp : () => {};
  writer.writeMessage(number, write, { seconds: Math.floor(Date.parse(String(value)) / 1000) });
};

/** What Go holds a pointer to: it is written where it is set. */
const optional =
  (write: Write): Write =>
  (writer, number, value, parent) => {
    if (value !== undefined && value !== null) write(writer, number, value, parent);
  };

const list =
  (write: Write): Write =>
  (writer, number, value, parent) => {
    for (const item of Array.isArray(value) ? value : []) write(writer, number, item, parent);
  };

const entry = writeFields({ key: [1, text], value: [2, text] });

const map: Write = (writer, number, value) => {
  const values: Record<string, unknown> = { ...(value ?? {}) };
  for (const key of Object.keys(values).toSorted()) writer.writeMessage(number, entry, { key, value: values[key] });
};

/** A message whose fields stand among those of the message around it in JSON. */
const inline =
  (fields: Fields): Write =>
  (writer, number, _value, parent) =>
    writer.writeMessage(number, writeFields(fields), parent);

// The numbers are those of `generated.proto` in k8s.io/apimachinery (runtime, meta/v1) and in k8s.io/api (core/v1). What is not
// here is left out of the lists: whoever reads more of them adds it.

const listMetadata = message({ resourceVersion: [2, text], continue: [3, text] });

const metadata = message({
  name: [1, text],
  namespace: [3, text],
  uid: [5, text],
  resourceVersion: [6, text],
  creationTimestamp: [8, time],
  deletionTimestamp: [9, optional(time)],
  labels: [11, map],
  annotations: [12, map],
  ownerReferences: [13, list(message({ kind: [1, text], name: [3, text], uid: [4, text], apiVersion: [5, text] }))],
});

const volume = message({
  name: [1, text],
  source: [2, inline({ hostPath: [1, optional(message({ path: [1, text], type: [2, optional(text)] }))] })],
});

const condition = message({
  type: [1, text],
  status: [2, text],
  lastTransitionTime: [4, time],
  reason: [5, text],
  message: [6, text],
});

const state = message({
  waiting: [1, optional(message({ reason: [1, text], message: [2, text] }))],
  running: [2, optional(message({ startedAt: [1, time] }))],
  terminated: [3, optional(message({ exitCode: [1, integer], startedAt: [5, time], finishedAt: [6, time] }))],
});

const volumeMount = message({ name: [1, text], mountPath: [3, text], subPath: [4, text] });

const container = message({
  name: [1, text],
  image: [2, text],
  env: [7, list(message({ name: [1, text], value: [2, text] }))],
  volumeMounts: [9, list(volumeMount)],
});

const pod = message({
  metadata: [1, metadata],
  spec: [2, message({ volumes: [1, list(volume)], containers: [2, list(container)] })],
  status: [
    3,
    message({
      phase: [1, text],
      conditions: [2, list(condition)],
      message: [3, text],
      reason: [4, text],
      containerStatuses: [8, list(message({ name: [1, text], state: [2, state] }))],
    }),
  ],
});

const port = message({ name: [1, text], protocol: [2, text], port: [3, integer], nodePort: [5, integer] });

const service = message({
  metadata: [1, metadata],
  spec: [2, message({ ports: [1, list(port)], type: [4, text] })],
});

/** What is written of each kind of answer. */
const KINDS: Readonly<Record<string, Fields>> = {
  PodList: { metadata: [1, listMetadata], items: [2, list(pod)] },
  ServiceList: { metadata: [1, listMetadata], items: [2, list(service)] },
  Status: {
    metadata: [1, listMetadata],
    status: [2, text],
    message: [3, text],
    reason: [4, text],
    code: [6, integer],
  },
};

/** An answer as Kubernetes writes it in protobuf; undefined for one of a kind that is written as JSON alone here. */
export function writeProtobuf(answer: { kind?: string }): Buffer | undefined {
  const fields = KINDS[answer.kind ?? ''];
  if (fields === undefined) return undefined;
  const writer = new PbfWriter();
  const envelope: Fields = {
    type: [1, message({ apiVersion: [1, text], kind: [2, text] })],
    object: [2, message(fields)],
    contentEncoding: [3, text],
    contentType: [4, text],
  };
  writeFields(envelope)({ type: answer, object: answer }, writer);
  return Buffer.concat([Buffer.from('k8s\0'), writer.finish()]);
}
