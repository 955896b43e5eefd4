import { createSign, generateKeyPairSync, randomBytes } from 'node:crypto';

import { keepSecret } from './secrets.ts';

/** A certificate and its key, both as PEM. */
export type Identity = { certificate: string; key: string };

type Options = {
  /** The authority, of the name that `makeCertificate` was given for it; without one, the certificate is self-signed. */
  signedBy?: Identity & { name: string };
  validFrom?: Date;
  validTo?: Date;
  /** As Kubernetes reads the groups of who shows it (`O`). */
  organization?: string;
  /** Of how many bits its RSA key is, in place of one of P-256; for one that is signed by an authority. */
  rsaBits?: number;
};

const day = 86_400_000;

/** A certificate for a host name, valid from yesterday until tomorrow unless told otherwise. Node has no maker of its own. */
export function makeCertificate(hostName: string, options: Options = {}): Identity {
  const {
    signedBy,
    validFrom = new Date(Date.now() - day),
    validTo = new Date(Date.now() + day),
    organization,
    rsaBits,
  } = options;
  const { publicKey, privateKey } =
    rsaBits === undefined
      ? generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
      : generateKeyPairSync('rsa', { modulusLength: rsaBits });
  const signatureAlgorithm = sequence(objectIdentifier('2a8648ce3d040302'));
  const name = distinguishedName(hostName, organization);
  const issuer = signedBy === undefined ? name : distinguishedName(signedBy.name);
  const validity = sequence(time(validFrom), time(validTo));
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
    issuer,
    validity,
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    extensions,
  );
  const signature = createSign('sha256')
    .update(toSign)
    .sign(signedBy?.key ?? privateKey);
  const der = sequence(toSign, signatureAlgorithm, tagged(0x03, Buffer.concat([Buffer.from([0]), signature])));
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return {
    certificate: ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n'),
    key: keepSecret(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()),
  };
}

function distinguishedName(commonName: string, organization?: string): Buffer {
  const part = (type: string, value: string) => set(sequence(objectIdentifier(type), tagged(0x0c, Buffer.from(value))));
  return sequence(...(organization ? [part('55040a', organization)] : []), part('550403', commonName));
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
