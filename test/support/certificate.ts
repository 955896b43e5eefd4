import { createSign, generateKeyPairSync, randomBytes } from 'node:crypto';

import { keepSecret } from './secrets.ts';

/** A self-signed certificate for a host name, and its key, both as PEM. Node has no maker of its own. */
export function makeCertificate(hostName: string): { certificate: string; key: string } {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const signatureAlgorithm = sequence(objectIdentifier('2a8648ce3d040302'));
  const name = sequence(set(sequence(objectIdentifier('550403'), tagged(0x0c, Buffer.from(hostName)))));
  const day = 86_400_000;
  const validity = sequence(time(new Date(Date.now() - day)), time(new Date(Date.now() + day)));
  const alternativeNames = sequence(tagged(0x82, Buffer.from(hostName)));
  const isAuthority = sequence(tagged(0x01, Buffer.from([0xff])));
  const extensions = tagged(
    0xa3,
    sequence(
      sequence(objectIdentifier('551d11'), tagged(0x04, alternativeNames)),
      sequence(objectIdentifier('551d13'), tagged(0x04, isAuthority)),
    ),
  );
  const toSign = sequence(
    tagged(0xa0, tagged(0x02, Buffer.from([2]))),
    tagged(0x02, Buffer.concat([Buffer.from([1]), randomBytes(8)])),
    signatureAlgorithm,
    name,
    validity,
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    extensions,
  );
  const signature = createSign('sha256').update(toSign).sign(privateKey);
  const der = sequence(toSign, signatureAlgorithm, tagged(0x03, Buffer.concat([Buffer.from([0]), signature])));
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return {
    certificate: ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n'),
    key: keepSecret(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()),
  };
}

function tagged(tag: number, content: Buffer): Buffer {
  const { length } = content;
  const lengthBytes = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...lengthBytes]), content]);
}

const sequence = (...parts: Buffer[]): Buffer => tagged(0x30, Buffer.concat(parts));
const set = (...parts: Buffer[]): Buffer => tagged(0x31, Buffer.concat(parts));
const objectIdentifier = (hex: string): Buffer => tagged(0x06, Buffer.from(hex, 'hex'));
const time = (date: Date): Buffer =>
  tagged(0x17, Buffer.from(`${date.toISOString().replace(/\D/g, '').slice(2, 14)}Z`));
