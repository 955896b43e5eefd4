import { SandboxClient } from '../../client/index.ts';

/** How a caller shows that it belongs here: by the key, or by a token. */
export type CredentialKind = 'key' | 'token';

/** What this tab shows that it belongs. */
export type Credentials = Readonly<{ kind: CredentialKind; secret: string }>;

/** Where the API is: beside this page, whatever its address begins with (a stage, a base path). */
const apiUrl = location.origin + location.pathname.replace(/\/(console\/?)?$/, '');

const storageName = `sandbox-provisioner ${apiUrl}`;

/** What was entered in this tab before it was loaded anew; other tabs know nothing of it. */
export function readCredentials(): Credentials | undefined {
  try {
    return JSON.parse(sessionStorage.getItem(storageName) ?? '') as Credentials;
  } catch {
    return undefined;
  }
}

/** Keeps it for this tab, or forgets it. Where the browser stores nothing, it is kept until the tab is loaded anew. */
export function keepCredentials(credentials: Credentials | undefined): void {
  try {
    if (credentials === undefined) sessionStorage.removeItem(storageName);
    else sessionStorage.setItem(storageName, JSON.stringify(credentials));
  } catch {}
}

/**
 * The API for who shows these; nothing is shown where there are none. `onRefused` is told, at every 401, what is asked for.
 */
export function openClient(
  credentials: Credentials | undefined,
  onRefused: (asked: CredentialKind) => void,
): SandboxClient {
  return new SandboxClient({
    url: apiUrl,
    ...(credentials && { [credentials.kind]: encode(credentials.secret) }),
    async fetch(request) {
      const response = await fetch(request);
      if (response.status === 401) {
        onRefused(/^Bearer\b/i.test(response.headers.get('www-authenticate') ?? '') ? 'token' : 'key');
      }
      return response;
    },
  });
}

/** A key may be any text. A header carries bytes: those of UTF-8, each as a character. */
const encode = (text: string): string => String.fromCharCode(...new TextEncoder().encode(text));
