import { createPrivateKey, X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContext } from 'node:tls';
import { KubernetesError } from '../../errors.ts';
import { findCode } from '../errors.ts';

/** By what we know the API server, and a client certificate with its key, all as PEM. */
export type Tls = Readonly<{ ca?: string | undefined; cert?: string | undefined; key?: string | undefined }>;

/**
 * What connections are made with. Throws `misconfigured`, with which of them it is, for what our own TLS has no use for: what it
 * cannot read, what is too weak for it, a key that is another certificate's.
 */
export function makeSecureContext(tls: Tls): SecureContext {
  const { ca, cert, key } = tls;
  // What is no certificate, TLS leaves out without a word; and with no text at all, it trusts the authorities of the web.
  if (ca !== undefined) use('the CA', () => new X509Certificate(ca));
  if (cert !== undefined && key !== undefined) {
    const certificate = use('the client certificate', () => new X509Certificate(cert));
    const privateKey = use('the key of the client certificate', () => createPrivateKey(key));
    // TLS has a place for each kind of key: where the two are of different kinds, it shows no certificate.
    if (!certificate.checkPrivateKey(privateKey)) {
      const what = 'the client certificate of the kubeconfig and its key do not belong together';
      throw new KubernetesError('misconfigured', what);
    }
  }
  return use('the client certificate', () => createSecureContext(tls));
}

function use<T>(part: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    const reason = `${part} of the kubeconfig cannot be used (${findCode(cause)})`;
    throw new KubernetesError('misconfigured', reason, { cause });
  }
}
