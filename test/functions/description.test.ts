import { afterEach, expect, it, vi } from 'vitest';
import { type Answer, call, startCold } from './handlers.ts';

afterEach(() => vi.unstubAllEnvs());

const describeTo = (apiKey: string | undefined, path = '/openapi.json'): Promise<Answer> =>
  call('get-openapi', { method: 'GET', path, ...(apiKey !== undefined && { headers: { 'x-api-key': apiKey } }) });
const lookWithoutKey = () => call('get-docs', { method: 'GET', path: '/docs', headers: { 'x-api-key': '' } });
const described = (more: object = {}) => ({
  status: 200,
  body: { openapi: '3.1.1', servers: [{ url: '/' }], ...more },
});

it('is open to anybody, and says how to show that one belongs', async () => {
  startCold();
  expect(await describeTo('')).toMatchObject(described({ security: [{ ApiKey: [] }] }));
  startCold({ JWT_ISSUER: 'https://issuer.example', JWT_AUDIENCE: 'a' });
  expect(await describeTo('')).toMatchObject(described({ security: [{ Token: [] }] }));
  startCold({ AUTH: 'off' });
  expect(await describeTo('')).toMatchObject(described({ security: [] }));
});

it('is for callers alone, and so is its page, if the settings say so', async () => {
  startCold({ API_DOCS: 'callers' });
  expect(await describeTo('')).toMatchObject({ status: 401 });
  expect(await lookWithoutKey()).toMatchObject({ status: 401 });
  expect(await describeTo(undefined)).toMatchObject(described());
});

it.each([
  ['API_DOCS', 'nobody', /API_DOCS must be/],
  ['SANDBOX_MAX_TTL_SECONDS', 'a day', /SANDBOX_MAX_TTL_SECONDS must be/],
])('tells callers alone what is wrong with %s', async (name, value, detail) => {
  startCold({ [name]: value });
  expect(await describeTo('')).toMatchObject({ status: 401 });
  expect(await describeTo(undefined)).toMatchObject({ status: 500, body: { detail: expect.stringMatching(detail) } });
});

it.each([
  ['off', 404, 'Not Found'],
  ['maybe', 500, "Misconfigured: CONSOLE must be 'open' or 'off'"],
])('has no console with CONSOLE=%s', async (CONSOLE, status, detail) => {
  startCold({ CONSOLE });
  const look = { method: 'GET', path: '/console', headers: { 'x-api-key': '' } };
  expect(await call('get-console', look)).toMatchObject({ status, body: { detail } });
});

it('tells nobody what is wrong with the settings of access', async () => {
  startCold({ PROVISIONER_API_KEY: '[hunter2]' });
  const detail = 'The access of callers is misconfigured';
  expect(await describeTo('')).toMatchObject({ status: 500, body: { detail } });
});

it('says where the API is, by where it was asked for', async () => {
  startCold();
  expect(await describeTo('', '/prod/openapi.json')).toMatchObject(described({ servers: [{ url: '/prod' }] }));
});
