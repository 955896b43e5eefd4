/** How bad it is; `skipped` is what could not be looked at, or was not asked for. */
export type Level = 'ok' | 'warning' | 'failed' | 'skipped';

/** What came of one check, for a person: what was found, and where it is not well, what to do and the page about it. */
export type Finding = Readonly<{
  check: string;
  level: Level;
  message: string;
  /** What to do. */
  advice?: string | undefined;
  /** Where it stands, as from the project's folder. */
  page?: string | undefined;
  /** How long it took, in milliseconds. */
  ms?: number | undefined;
}>;

/** Takes findings as they come. */
export type Tell = (finding: Finding) => void;

/** What to do, and the page about it. */
export type Advice = Readonly<{ advice: string; page: string }>;

/** What a work gives, or throws, and how long it took, in milliseconds. */
export async function timed<T>(
  work: () => Promise<T>,
): Promise<{ ms: number } & ({ value: T; error?: undefined } | { value?: undefined; error: Error })> {
  const begun = performance.now();
  const took = () => Math.round(performance.now() - begun);
  try {
    const value = await work();
    return { value, ms: took() };
  } catch (error) {
    return { error: error as Error, ms: took() };
  }
}

/** A moment, for a person: a certificate knows whole seconds. */
export const describeTime = (time: Date): string => time.toISOString().replace(/\.\d+Z$/, 'Z');
