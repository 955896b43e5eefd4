import type { V1Service } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../lib/config/index.ts';
import { signToken } from '../../lib/model/address.ts';
import { viewSandbox } from '../../lib/model/status.ts';
import { keepSecret } from '../support/secrets.ts';

const key = keepSecret('k'.repeat(32));
const created = new Date('2026-11-22T11:00:00Z');
const now = new Date('2026-11-22T12:00:00Z');
const service = {
  metadata: {
    name: 'sandbox-3f2a9c11-svc',
    namespace: 'deer-flow',
    labels: { 'sandbox-id': '3f2a9c11' },
    creationTimestamp: created,
  },
  spec: { type: 'ClusterIP', ports: [{ name: 'http', port: 8080 }] },
} satisfies V1Service;

const urlOf = (settings: Record<string, string>, at = now, one: V1Service = service) =>
  viewSandbox('3f2a9c11', one, undefined, loadConfig(settings), at)?.sandbox_url;

// Made by another implementation, of Python, by docs/gateway.md alone.
const [forEver, until] = ['3qaaaaaagtmh7seodo4g2txxyeqdgcxo4y', '3rvp3bwac5lt5yyhfp7bsbifvrtae46suq'];

describe('a token', () => {
  it.each([
    [0, forEver],
    [1_795_000_000, until],
  ])('until %d is as the page says', (expiresAt, token) => {
    expect(signToken({ namespace: 'deer-flow', sandboxId: '3f2a9c11', port: 8080 }, expiresAt, key)).toBe(token);
  });
});

describe('the URL of a template', () => {
  it.each([
    [
      'https://sandboxes.example.com/{namespace}/{sandbox_id}/{token}/',
      `https://sandboxes.example.com/deer-flow/3f2a9c11/${forEver}`,
    ],
    ['https://{sandbox_id}-{port}--{token}.example.com', `https://3f2a9c11-8080--${forEver}.example.com`],
    ['http://{service}.{namespace}:{port}/{token}', `http://sandbox-3f2a9c11-svc.deer-flow:8080/${forEver}`],
  ])('%s', (SANDBOX_URL_TEMPLATE, url) => {
    expect(urlOf({ SANDBOX_URL_TEMPLATE, SANDBOX_URL_KEY: JSON.stringify([key, `the old one${key}`]) })).toBe(url);
  });

  const byNodePort = (nodePort?: number): V1Service => ({
    ...service,
    spec: { type: 'NodePort', ports: [{ name: 'http', port: 9090, ...(nodePort && { nodePort }) }] },
  });

  it('is that of the port of the Service, whatever its type; there is none for one without an address', () => {
    const settings = { SANDBOX_URL_TEMPLATE: 'https://a/{sandbox_id}/{port}' };
    expect(urlOf(settings, now, byNodePort(30_123))).toBe('https://a/3f2a9c11/9090');
    expect(urlOf(settings, now, byNodePort())).toBeUndefined();
    expect(urlOf(settings, now, { ...service, spec: { ...service.spec, type: 'ExternalName' } })).toBeUndefined();
  });

  const signed = { SANDBOX_URL_TEMPLATE: 'https://a/{sandbox_id}/{token}', SANDBOX_URL_KEY: key };
  const expiryOf = (url = '') => {
    const digits = [...(url.split('/').at(-1) ?? '').slice(0, 8)].map((one) =>
      'abcdefghijklmnopqrstuvwxyz234567'.indexOf(one),
    );
    return digits.reduce((sum, digit) => sum * 32 + digit, 0) % 2 ** 32;
  };
  const later = (seconds: number) => new Date(now.getTime() + seconds * 1000);

  it('is the same as long as the sandbox may live', () => {
    const bounded = { ...signed, SANDBOX_MAX_LIFETIME_SECONDS: '864000' };
    expect(expiryOf(urlOf(signed))).toBe(0);
    expect(expiryOf(urlOf(bounded))).toBe(created.getTime() / 1000 + 864_000);
    for (const settings of [signed, bounded]) expect(urlOf(settings, later(600_000))).toBe(urlOf(settings));
  });

  it('is good for as long as the setting says at least, and changes once in that time', () => {
    const hourly = { ...signed, SANDBOX_URL_TTL_SECONDS: '3600' };
    const urls = Array.from({ length: 120 }, (_, minute) => [minute * 60, urlOf(hourly, later(minute * 60))] as const);
    for (const [seconds, url] of urls) {
      const left = expiryOf(url) - later(seconds).getTime() / 1000;
      expect(left > 3600 && left <= 7200).toBe(true);
    }
    expect(new Set(urls.map(([, url]) => url)).size).toBe(2);
  });
});
