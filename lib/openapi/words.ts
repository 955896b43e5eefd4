import * as z from 'zod/mini';

/** A value and its words for the reader. */
export const value = <Schema extends z.ZodMiniType>(
  schema: Schema,
  description: string,
  ...examples: z.output<Schema>[]
) => schema.check(z.meta({ description, ...(examples.length > 0 && { examples }) }));

/** A time, RFC 3339. */
export const time = () => z.string().check(z.meta({ format: 'date-time' }));
