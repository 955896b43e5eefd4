import { createHmac } from 'node:crypto';
import { serviceName } from './names.ts';

/** What a URL leads to: a port of a sandbox. */
export type Destination = Readonly<{ namespace: string; sandboxId: string; port: number }>;

const names = ['namespace', 'sandbox_id', 'service', 'port', 'token'] as const;

/** What a template may name, in words. */
export const placeholders = names.map((name) => `{${name}}`).join(', ');

/** Whether a template asks for a token. */
export const isSigned = (template: string | undefined): boolean => template?.includes('{token}') ?? false;

/** Whether a template has nothing in braces but what it may name. */
export const isTemplate = (text: string): boolean =>
  !/[{}]/.test(text.replace(new RegExp(`\\{(${names.join('|')})\\}`, 'g'), ''));

/** Whether a template tells one sandbox from another. */
export const namesSandbox = (text: string): boolean => /\{(sandbox_id|service)\}/.test(text);

/** A token of no key: for what only counts its length. */
const anyToken = 'a'.repeat(34);

/** Whether the URLs of a template are some, to which a path can be added. */
export function makesUrls(template: string): boolean {
  const url = fillTemplate(template, { namespace: 'n', sandboxId: 's', port: 1 }, anyToken);
  return /^https?:\/\/[^/?#@]+(\/[^?#]*)?$/.test(url) && URL.canParse(url);
}

/** Whether an id has room in the host name of a template: a label of one has at most 63 characters. */
export function hasRoomFor(sandboxId: string, template: string): boolean {
  const url = fillTemplate(template, { namespace: '', sandboxId, port: 65_535 }, anyToken);
  const [, host = ''] = /^\w+:\/\/([^/:]*)/.exec(url) ?? [];
  return host.split('.').every(({ length }) => length <= 63);
}

/** The URL of a template. */
export function fillTemplate(template: string, { namespace, sandboxId, port }: Destination, token: string): string {
  const values: Record<string, string> = {
    namespace,
    sandbox_id: sandboxId,
    service: serviceName(sandboxId),
    port: String(port),
    token,
  };
  return template.replace(/\{(\w+)\}/g, (_all, name: string) => values[name] ?? '');
}

/**
 * A token that opens this destination until then (seconds since 1970; 0: for ever), for whoever has this key: docs/gateway.md has its
 * form. No part of what is signed can have a line break in it.
 */
export function signToken({ namespace, sandboxId, port }: Destination, expiresAt: number, key: string): string {
  // One key signs a whole list.
  if (keyId?.of !== key) keyId = { of: key, byte: hmac(key, 'key id').readUInt8() };
  const head = Buffer.alloc(5, keyId.byte);
  head.writeUInt32BE(expiresAt, 1);
  const signed = ['v1', namespace, sandboxId, port, expiresAt].join('\n');
  return toBase32(head) + toBase32(hmac(key, signed).subarray(0, 16));
}

let keyId: { of: string; byte: number } | undefined;

const hmac = (key: string, text: string): Buffer => createHmac('sha256', key).update(text).digest();

/** RFC 4648 without padding, in lower case: a host name knows no other. */
function toBase32(bytes: Buffer): string {
  let [text, bits, held] = ['', 0, 0];
  for (const byte of bytes) {
    held = ((held & 31) << 8) | byte;
    for (bits += 8; bits >= 5; bits -= 5) text += alphabet.charAt((held >> (bits - 5)) & 31);
  }
  return bits > 0 ? text + alphabet.charAt((held << (5 - bits)) & 31) : text;
}

const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';
