import type { Environment } from './setting.ts';

/**
 * What Lambda says of itself: that it is there, the region, the credentials of the function's role, and where its secrets extension answers; and another
 * address than AWS' own for EventBridge, by the variable that AWS' programs have for it.
 */
export type AwsConfig = Readonly<{
  isLambda: boolean;
  region: string | undefined;
  accessKeyId: string | undefined;
  secretAccessKey: string | undefined;
  sessionToken: string | undefined;
  secretsExtensionPort: number;
  eventBridgeEndpoint: string | undefined;
}>;

/**
 * Reads it out of the variables that Lambda and its extensions set. They are no settings: nobody sets them by hand for us, and one
 * that is empty is as good as unset.
 */
export const readAwsConfig = (env: Environment): AwsConfig => ({
  isLambda: Boolean(env.AWS_LAMBDA_FUNCTION_NAME),
  region: env.AWS_REGION || undefined,
  accessKeyId: env.AWS_ACCESS_KEY_ID || undefined,
  secretAccessKey: env.AWS_SECRET_ACCESS_KEY || undefined,
  sessionToken: env.AWS_SESSION_TOKEN || undefined,
  // The extension's own variable, and its own default.
  secretsExtensionPort: Number(env.PARAMETERS_SECRETS_EXTENSION_HTTP_PORT || 2773),
  eventBridgeEndpoint: env.AWS_ENDPOINT_URL_EVENTBRIDGE || undefined,
});
