import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

import { type CryptoKey, exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose';

/** An OpenID issuer of tokens, over HTTP on this machine. */
export interface Issuer {
  readonly url: string;
  readonly audience: string;
  /** A token that is good for a minute, but for what is said here; a claim that is undefined is left out. */
  token(claims?: JWTPayload, how?: { key?: CryptoKey; alg?: string; kid?: string | undefined }): Promise<string>;
  /** How often its keys were asked for. */
  readonly readings: () => number;
  close(): Promise<void>;
}

/** Starts one with an RSA key, and an EC key that its JWKS has as well. */
export async function startIssuer(): Promise<
  Issuer & { ecKey: CryptoKey; strangerKey: CryptoKey; publicKeyPem: string }
> {
  const { exportSPKI } = await import('jose');
  const rsa = await generateKeyPair('RS256', { extractable: true });
  const ec = await generateKeyPair('ES256', { extractable: true });
  const stranger = await generateKeyPair('RS256');
  const keys = [
    { ...(await exportJWK(rsa.publicKey)), kid: 'rsa', use: 'sig' },
    { ...(await exportJWK(ec.publicKey)), kid: 'ec', use: 'sig' },
  ];
  let readings = 0;
  const server = createServer((request, response) => {
    response.setHeader('content-type', 'application/json');
    if (request.url === '/.well-known/openid-configuration') {
      response.end(JSON.stringify({ issuer: url, jwks_uri: `${url}/keys` }));
    } else if (request.url === '/keys') {
      readings += 1;
      response.end(JSON.stringify({ keys }));
    } else response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const audience = 'the-provisioner';
  return {
    url,
    audience,
    ecKey: ec.privateKey,
    strangerKey: stranger.privateKey,
    publicKeyPem: await exportSPKI(rsa.publicKey),
    token: async (claims = {}, { key = rsa.privateKey, alg = 'RS256', kid = 'rsa' } = {}) => {
      const seconds = Math.floor(Date.now() / 1000);
      const all = { iss: url, aud: audience, sub: 'a-caller', iat: seconds - 10, exp: seconds + 60, ...claims };
      const header = { alg, ...(kid === '' ? {} : { kid }) };
      return new SignJWT(JSON.parse(JSON.stringify(all))).setProtectedHeader(header).sign(key);
    },
    readings: () => readings,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
