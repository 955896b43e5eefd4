import * as z from 'zod/mini';
import { matching, withDefault } from './fields.ts';

/** What Lambda says of itself: the region, the credentials of the function's role, and where its secrets extension answers. */
export type AwsConfig = Readonly<{
  region: string | undefined;
  accessKeyId: string | undefined;
  secretAccessKey: string | undefined;
  sessionToken: string | undefined;
  secretsExtensionPort: number;
}>;

/** The variables that Lambda and its extensions set. */
export const awsSettings = {
  AWS_REGION: z.optional(z.string()),
  AWS_ACCESS_KEY_ID: z.optional(z.string()),
  AWS_SECRET_ACCESS_KEY: z.optional(z.string()),
  AWS_SESSION_TOKEN: z.optional(z.string()),
  PARAMETERS_SECRETS_EXTENSION_HTTP_PORT: withDefault(matching(/^[1-9]\d{0,4}$/, 'must be a port'), '2773'),
};

type Values = z.infer<z.ZodMiniObject<typeof awsSettings>>;

/** What they mean. One that is empty is as good as unset: nobody sets these by hand for us. */
export const readAwsConfig = (values: Values): { readonly aws: AwsConfig } => ({
  aws: {
    region: values.AWS_REGION || undefined,
    accessKeyId: values.AWS_ACCESS_KEY_ID || undefined,
    secretAccessKey: values.AWS_SECRET_ACCESS_KEY || undefined,
    sessionToken: values.AWS_SESSION_TOKEN || undefined,
    secretsExtensionPort: Number(values.PARAMETERS_SECRETS_EXTENSION_HTTP_PORT),
  },
});
