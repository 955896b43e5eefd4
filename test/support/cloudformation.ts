import { loadAwsServiceSpec } from '@aws-cdk/aws-service-spec';
import type { Property, PropertyType, SpecDatabase } from '@aws-cdk/service-spec-types';

/** A template of CloudFormation, as far as it is checked. */
export type Template = { Resources: Record<string, { Type: string; Properties?: object }> };

/**
 * Makes the function that checks a template against AWS' own specification of its resources: one line for each resource of an
 * unknown type, unknown property, missing one and value of another type. What a function of CloudFormation gives is not known
 * before it is deployed, and so taken for right.
 */
export async function loadTemplateCheck(): Promise<(template: Template) => string[]> {
  const specification = await loadAwsServiceSpec();
  return ({ Resources }) =>
    Object.entries(Resources).flatMap(([id, { Type, Properties = {} }]) => {
      const [resource] = specification.lookup('resource', 'cloudFormationType', 'equals', Type);
      const place = `${id} (${Type})`;
      if (resource === undefined) return [`${place}: there is no such type`];
      return checkProperties(specification, place, resource.properties, Properties);
    });
}

function checkProperties(
  specification: SpecDatabase,
  place: string,
  known: Readonly<Record<string, Property>>,
  given: object,
): string[] {
  const missing = Object.entries(known).filter(([name, { required }]) => required && !(name in given));
  return [
    ...missing.map(([name]) => `${place}.${name}: is missing`),
    ...Object.entries(given).flatMap(([name, value]) => {
      const property = known[name];
      if (property === undefined) return [`${place}.${name}: there is no such property`];
      return checkValue(specification, `${place}.${name}`, property.type, value);
    }),
  ];
}

function checkValue(specification: SpecDatabase, place: string, type: PropertyType, value: unknown): string[] {
  const expectIt = (isRight: boolean) => (isRight ? [] : [`${place}: is no ${type.type}: ${JSON.stringify(value)}`]);
  if (isIntrinsic(value)) return [];
  switch (type.type) {
    case 'string':
      return expectIt(typeof value === 'string' && (type.allowedValues?.includes(value) ?? true));
    case 'integer':
      return expectIt(Number.isInteger(value) && (type.allowedValues?.includes(value as number) ?? true));
    case 'number':
      return expectIt(typeof value === 'number');
    case 'boolean':
      return expectIt(typeof value === 'boolean');
    case 'date-time':
      return expectIt(typeof value === 'string' && !Number.isNaN(Date.parse(value)));
    case 'null':
      return expectIt(value === null);
    case 'json':
      return expectIt(isObject(value));
    case 'tag':
      return isObject(value) ? checkProperties(specification, place, tag, value) : expectIt(false);
    case 'array':
      if (!Array.isArray(value)) return expectIt(false);
      return value.flatMap((item, index) => checkValue(specification, `${place}[${index}]`, type.element, item));
    case 'map':
      if (!isObject(value)) return expectIt(false);
      return Object.entries(value).flatMap(([key, item]) =>
        checkValue(specification, `${place}.${key}`, type.element, item),
      );
    case 'ref': {
      if (!isObject(value)) return expectIt(false);
      const { properties } = specification.get('typeDefinition', type.reference.$ref);
      return checkProperties(specification, place, properties, value);
    }
    case 'union': {
      const faults = type.types.map((one) => checkValue(specification, place, one, value));
      return faults.find((one) => one.length === 0) ?? faults.flat();
    }
  }
}

const text = { type: { type: 'string' }, required: true } as const;
const tag = { Key: text, Value: text };

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A call of one of CloudFormation's functions. */
function isIntrinsic(value: unknown): boolean {
  const [name = '', ...others] = isObject(value) ? Object.keys(value) : [];
  return others.length === 0 && (name === 'Ref' || name.startsWith('Fn::'));
}
