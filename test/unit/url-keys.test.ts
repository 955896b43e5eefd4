import { afterEach, expect, it, vi } from 'vitest';
import { loadConfig } from '../../lib/config/index.ts';
import { withUrlKeys } from '../../lib/http/url-keys.ts';
import { keepSecret } from '../support/secrets.ts';
import { startApiServer } from './api-server.ts';

const [oldKey, newKey] = [keepSecret('an-old-key-of-some-forty-characters-of-text'), keepSecret('n'.repeat(40))];
const signal = AbortSignal.timeout(10_000);

/** The extension, which says what `answer` holds; and a configuration whose keys it keeps. */
async function start(answer: { text: string; code?: number }) {
  const { port, requests } = await startApiServer((_request, response) => {
    response.writeHead(answer.code ?? 200).end(JSON.stringify({ SecretString: answer.text }));
  });
  const config = loadConfig({
    SANDBOX_URL_TEMPLATE: 'https://a/{sandbox_id}/{token}',
    SANDBOX_URL_KEY_SECRET_ID: 'urls',
    AWS_SESSION_TOKEN: 'a token',
    PARAMETERS_SECRETS_EXTENSION_HTTP_PORT: `${port}`,
  });
  const keys = async () => {
    const { urlKeys } = await withUrlKeys(config, signal);
    return urlKeys?.kind === 'given' ? urlKeys.keys : undefined;
  };
  return { keys, requests };
}

afterEach(() => void vi.useRealTimers());

it('are read from AWS, again when they are a minute old, and stay what they were where they cannot be', async () => {
  vi.useFakeTimers({ toFake: ['Date'] });
  const answer = { text: oldKey, code: 200 };
  const { keys, requests } = await start(answer);
  expect([await keys(), await keys()]).toEqual([[oldKey], [oldKey]]);
  expect(requests).toMatchObject([{ url: '/secretsmanager/get?secretId=urls' }]);
  vi.setSystemTime(Date.now() + 60_000);
  answer.text = JSON.stringify({ SANDBOX_URL_KEY: [newKey, oldKey], other: 'x' });
  expect(await keys()).toEqual([newKey, oldKey]);
  vi.setSystemTime(Date.now() + 60_000);
  answer.code = 500;
  expect(await keys()).toEqual([newKey, oldKey]);
  expect(requests).toHaveLength(3);
});

it.each(['short', '', `["${newKey}","${newKey}","${newKey}"]`, '{"key":"x"}'])(
  'are misconfigured where AWS keeps %j, and nothing of it is told',
  async (text) => {
    const { keys } = await start({ text });
    const error = await keys().catch((failure) => failure);
    expect(error).toMatchObject({
      kind: 'misconfigured',
      message: expect.stringMatching(/^('urls' must hold a key of|The secret 'urls')/),
    });
    if (text.length > 2) expect(error.message).not.toContain(text);
  },
);

it('are not looked for where the settings have them, or none', async () => {
  for (const env of [{}, { SANDBOX_URL_TEMPLATE: 'https://a/{sandbox_id}/{token}', SANDBOX_URL_KEY: newKey }]) {
    const config = loadConfig(env);
    expect(await withUrlKeys(config, signal)).toBe(config);
  }
});
