import type * as z from 'zod/mini';

/**
 * What a function has to do with, as serverless.yml says: those who call, Kubernetes, the clean-up, the API's own description, the console,
 * events that it sends.
 */
export type Need = 'callers' | 'kubernetes' | 'cleanup' | 'description' | 'console' | 'events';

/**
 * A setting: one variable of the environment, declared here and nowhere else. From its declaration follow what the functions read,
 * what each of them is given, the check before a deployment, and docs/settings.md.
 */
export type Setting = Readonly<{
  /** What its text must be, and what value it means. No rule sees an empty text. */
  rule: () => z.ZodMiniType<unknown, string>;
  /** The value of one that is unset. */
  default?: unknown;
  /** The name of its value in the configuration, with the unit. None: the value becomes a part of something else. */
  field?: string;
  /** Which functions need it and are given it; or who else reads it, and no function does. */
  neededBy: Need | readonly Need[] | 'every function' | 'deployment' | 'npm start';
  /** The store of AWS that keeps the secret whose name it is, in the words of an ARN. */
  keptIn?: 'secretsmanager' | 'ssm';
  /** What holds where it is unset, in Markdown, if its default does not say that. */
  unset?: string;
  /** What it means: one sentence or a few, in Markdown, with links as from docs/. */
  doc: string;
}>;

/** Settings, by the name of their variable. */
export type Settings = Readonly<Record<string, Setting>>;

/** An environment. */
export type Environment = Readonly<Record<string, string | undefined>>;

type ValueOf<S extends Setting> = S extends { default: z.output<ReturnType<S['rule']>> }
  ? z.output<ReturnType<S['rule']>>
  : z.output<ReturnType<S['rule']>> | undefined;

/** What settings are in one environment, by the name of the variable. */
export type Values<T extends Settings> = { readonly [Name in keyof T]: ValueOf<T[Name]> };

/** The same by the name of the field, of those that have one. */
export type Fields<T extends Settings> = {
  readonly [Name in keyof T as T[Name] extends { field: infer Field extends string } ? Field : never]: ValueOf<T[Name]>;
};

/** The text of a setting in an environment; undefined if it is unset. An empty one is: compose makes it with `${X:-}`. */
export const readText = (env: Environment, name: string): string | undefined => env[name] || undefined;

/** Reads settings out of an environment, or names every one that is wrong and says what it must be. Pure. */
export function readSettings<T extends Settings>(
  settings: T,
  env: Environment,
): { values: Values<T>; problems: [] } | { values: undefined; problems: string[] } {
  const problems: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [name, setting] of Object.entries(settings)) {
    const text = readText(env, name);
    if (text === undefined) {
      values[name] = setting.default;
    } else {
      const { data, error } = setting.rule().safeParse(text);
      values[name] = data;
      for (const { message } of error?.issues ?? []) problems.push(`${name} ${message}`);
    }
  }
  return problems.length > 0 ? { values: undefined, problems } : { values: values as Values<T>, problems: [] };
}

/** The values under the names of their fields. */
export const nameFields = <T extends Settings>(settings: T, values: Values<T>): Fields<T> =>
  Object.fromEntries(
    Object.entries(settings).flatMap(([name, { field }]) => (field === undefined ? [] : [[field, values[name]]])),
  ) as Fields<T>;
