/** A file of the Kubernetes client's `dist`, by its path in there. */
export type ReadClientFile = (path: string) => Promise<string>;

/** The types that the client's serializer hands on as they are, beside those that it has a model for. */
const plainTypes = new Set(['string', 'number', 'boolean', 'any', 'Date', 'IntOrString', 'V1MicroTime']);

const [serializer, observables, objectParams] = [
  'gen/models/ObjectSerializer.js',
  'gen/types/ObservableAPI.js',
  'gen/types/ObjectParamAPI.js',
];

/**
 * The generated part of the Kubernetes client, with no more of it than our sources name: of the classes with Kubernetes'
 * calls those that `isNamed`, of their methods those that `isNamed`, and of the models those that these methods send or get.
 * Gives the files that are to be others than they are, by their paths. Reads them as text, line by line, and throws where
 * they are not written as release 2.0 of the client is.
 */
export async function trimGenerated(
  read: ReadClientFile,
  isNamed: (word: string) => boolean,
): Promise<Map<string, string>> {
  const index = await read('gen/index.js');
  const apis = [...index.matchAll(/\bObject(\w+Api) as \1\b/g)].map(([, api]) => api as string);
  expectLayout(apis.length > 50, 'gen/index.js', `names ${apis.length} APIs`);
  const used = new Set(apis.filter(isNamed));
  const isKept = (method: string) => {
    const request = method.replace(/WithHttpInfo$/, '');
    return isNamed(request) || isNamed(withHttpInfo(request));
  };
  const trimmed = new Map<string, string>();
  const expected = new Map<string, string[]>();
  const roots = new Set<string>();

  for (const api of used) {
    const file = `gen/apis/${api}.js`;
    const { text, members } = cutMembers(await read(file), file, () => true, isKept);
    const [requests, answers] = [members.get(`${api}RequestFactory`), members.get(`${api}ResponseProcessor`)];
    expectLayout(requests !== undefined && requests.length > 0, file, `makes none of the requests that we name`);
    expectLayout(equal(answers, requests.map(withHttpInfo)), file, 'has other answers than requests');
    for (const type of findRoots(text, file)) roots.add(type);
    expected.set(api, requests);
    trimmed.set(file, text);
  }
  for (const [file, prefix] of [
    [observables, 'Observable'],
    [objectParams, 'Object'],
  ] as const) {
    const isUsed = (name: string) => used.has(name.slice(prefix.length));
    const { text, members } = cutMembers(await read(file), file, isUsed, isKept);
    expectLayout(members.size === apis.length, file, `has ${members.size} classes for ${apis.length} APIs`);
    for (const [api, requests] of expected) {
      const calls = requests.flatMap((request) => [request, withHttpInfo(request)]);
      expectLayout(equal(members.get(prefix + api), calls), file, `has other calls of ${api} than there are requests`);
    }
    // What a class that is cut would have needed.
    const isNeeded = (line: string) => {
      const api = line.match(/^import \{.*\} from "\.\.\/apis\/(\w+)\.js";$/)?.[1];
      return api === undefined || used.has(api);
    };
    trimmed.set(file, text.split('\n').filter(isNeeded).join('\n'));
  }
  trimmed.set(...(await cutModels(roots, read)));
  return trimmed;
}

const withHttpInfo = (request: string) => `${request}WithHttpInfo`;

const equal = (one: readonly string[] | undefined, other: readonly string[]): boolean =>
  one !== undefined && one.toSorted().join() === other.toSorted().join();

type Cut = { text: string; members: Map<string, string[]> };

/**
 * A file of classes without the methods that are not kept; of a class that is not kept, a stand-in that says so when it is
 * made. `members` are the methods left, by class.
 */
function cutMembers(
  source: string,
  file: string,
  isClassKept: (name: string) => boolean,
  isMethodKept: (name: string) => boolean,
): Cut {
  const members = new Map<string, string[]>();
  const kept: string[] = [];
  let current: { methods: string[]; isKept: boolean } | undefined;
  let inside: 'comment' | 'method' | 'cut method' | undefined;
  for (const [index, line] of source.split('\n').entries()) {
    const isUnknown = () => expectLayout(false, file, `has an unknown line ${index + 1}: ${line.slice(0, 80)}`);
    if (inside !== undefined) {
      if (inside === 'method') kept.push(line);
      if (line === '    }' || (inside === 'comment' && line === '     */')) inside = undefined;
    } else if (current === undefined) {
      kept.push(line);
      const [, name] = line.match(/^export class (\w+)(?: extends \w+)? \{$/) ?? [];
      if (name === undefined) continue;
      current = { methods: [], isKept: isClassKept(name) };
      members.set(name, current.methods);
      if (!current.isKept) kept[kept.length - 1] = standIn(name);
    } else if (line === '}') {
      if (current.isKept) kept.push(line);
      current = undefined;
    } else if (line === '    /**') {
      inside = 'comment';
    } else {
      const [, name] = line.match(/^ {4}(?:async )?(\w+)\(.*\) \{$/) ?? [];
      if (name === undefined) isUnknown();
      const isKept = current.isKept && (name === 'constructor' || isMethodKept(name as string));
      if (isKept && name !== 'constructor') current.methods.push(name as string);
      if (isKept) kept.push(line);
      inside = isKept ? 'method' : 'cut method';
    }
  }
  expectLayout(current === undefined && inside === undefined, file, 'ends within a class');
  return { text: kept.join('\n'), members };
}

const standIn = (name: string): string =>
  `export class ${name} { constructor() { throw new Error(${JSON.stringify(whyCut(name))}); } }`;

/** What is said where something is touched all the same that is not in the bundle. */
export const whyCut = (what: string): string =>
  `${what} is not in this bundle: lib/deploy/trim-client.ts leaves it out`;

/** The types that are sent and got, as the client's own calls name them. */
function findRoots(text: string, file: string): string[] {
  const call = String.raw`\bObjectSerializer\.(?:de)?serialize\(`;
  const named = [...text.matchAll(new RegExp(`${call}.*, "(.+?)", "[\\w-]*"\\)`, 'g'))];
  const calls = text.match(new RegExp(call, 'g')) ?? [];
  expectLayout(named.length === calls.length, file, 'sends or gets something of a type that it does not name');
  return named.map(([, type]) => type as string);
}

/** The serializer with the models that can be reached from these types, and no module of any of them. */
async function cutModels(roots: ReadonlySet<string>, read: ReadClientFile): Promise<[file: string, text: string]> {
  const [before, entries, after] = (await read(serializer)).split(/^let typeMap = \{\n([^}]*)^\};$/m);
  expectLayout(after !== undefined, serializer, 'has no typeMap');
  const known = new Set<string>();
  for (const line of (entries as string).trimEnd().split('\n')) {
    const [, name] = line.match(/^ {4}"(\w+)": \1,$/) ?? [];
    expectLayout(name !== undefined, serializer, `has an unknown line in its typeMap: ${line}`);
    known.add(name);
  }
  const models = new Map<string, Attribute[]>();
  const queue = [...roots].map((type) => ({ type, of: 'a call' }));
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    const name = elementType(next.type);
    if (plainTypes.has(name) || models.has(name)) continue;
    expectLayout(known.has(name), serializer, `has no model ${name}, which ${next.of} needs`);
    const attributes = await readModel(name, read);
    models.set(name, attributes);
    for (const { type } of attributes) queue.push({ type, of: name });
  }
  // Some objects are most of what a Pod is; all of Kubernetes is many times that.
  const isPlausible = roots.size === 0 || (models.size > 1 && models.size < known.size / 2);
  expectLayout(isPlausible, serializer, `needs ${models.size} of its ${known.size} models`);
  const isNeeded = (line: string) => !/^(import|export) .* from '\.\.\/models\/\w+\.js';$/.test(line);
  return [
    serializer,
    [...(before as string).split('\n').filter(isNeeded), makeModelsWhenTouched(models), after].join('\n'),
  ];
}

/**
 * The serializer's `typeMap` in less than a tenth of the time that V8 takes to read all models as the classes that they are:
 * the attributes are a text, and a model becomes a class when it is first sent or got.
 */
function makeModelsWhenTouched(models: ReadonlyMap<string, Attribute[]>): string {
  const table = Object.fromEntries(
    [...models].map(([model, attributes]) => [
      model,
      attributes.map(({ baseName, type, format, name }) => {
        if (name !== baseName) return [baseName, type, format, name];
        return format === '' ? [baseName, type] : [baseName, type, format];
      }),
    ]),
  );
  // What a class is called is the name of the property that it is made in.
  return `let models;
const makeModel = (model) => {
  let map;
  const read = ([baseName, type, format = '', name = baseName]) => ({ name, baseName, type, format });
  return { [model]: class { static getAttributeTypeMap() { return map ??= models[model].map(read); } } }[model];
};
let typeMap = Object.create(new Proxy({}, {
  get(_, model, made) {
    models ??= JSON.parse(${JSON.stringify(JSON.stringify(table))});
    return Object.hasOwn(models, model) ? (made[model] = makeModel(model)) : undefined;
  },
}));`;
}

/** `Array<V1Pod>`, `{ [key: string]: V1Pod; }` and `V1Pod | null` are all about V1Pod. */
function elementType(type: string): string {
  const inner = type.match(/^Array<(.*)>$|^\{ \[key: string\]: (.*); \}$|^(.*) \| (?:null|undefined)$/);
  return inner === null ? type : elementType((inner[1] ?? inner[2] ?? inner[3]) as string);
}

const modelFile = (model: string): string => `gen/models/${model}.js`;

type Attribute = { name: string; baseName: string; type: string; format: string };

/** What a model is made of. */
async function readModel(name: string, read: ReadClientFile): Promise<Attribute[]> {
  const file = modelFile(name);
  const source = await read(file);
  const [, json] = source.match(new RegExp(`^${name}\\.attributeTypeMap = (\\[.*?^\\]);$`, 'ms')) ?? [];
  expectLayout(json !== undefined, file, 'has no attributeTypeMap');
  // Nothing else may get lost: what it does, or for which other models it stands.
  const code = source.replace(/\/\*.*?\*\/\s*/gs, '').replace(json, '');
  expectLayout(code.trim().replace(/\n\/\/# .*$/, '') === modelCode(name), file, 'is not only a list of attributes');
  const attributes: Attribute[] = JSON.parse(json);
  const isKnown = (attribute: Attribute) => equal(Object.keys(attribute), ['name', 'baseName', 'type', 'format']);
  expectLayout(attributes.every(isKnown), file, 'says more of an attribute than its name, its type and its format');
  return attributes;
}

const modelCode = (name: string): string => `export class ${name} {
    static getAttributeTypeMap() {
        return ${name}.attributeTypeMap;
    }
    constructor() {
    }
}
${name}.discriminator = undefined;
${name}.mapping = undefined;
${name}.attributeTypeMap = ;`;

function expectLayout(isSo: boolean, file: string, what: string): asserts isSo {
  if (isSo) return;
  throw new Error(
    `@kubernetes/client-node is not written as lib/deploy/generated-client.ts knows it: ${file} ${what}. Was it updated?`,
  );
}
