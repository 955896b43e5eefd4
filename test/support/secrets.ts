/**
 * What a test file must not find anywhere, and where it did. On globalThis: modules are loaded anew for each cold start.
 */
type Watch = { secrets: Set<string>; leaks: string[]; logs: (() => readonly [where: string, text: string])[] };

const key = Symbol.for('sandbox-provisioner.secrets');
const store = globalThis as unknown as Record<symbol, Watch | undefined>;

function watch(): Watch {
  store[key] ??= { secrets: new Set(), leaks: [], logs: [] };
  return store[key];
}

/** Keys are never shown, whoever made them. */
const privateKey = /-----BEGIN [A-Z ]*PRIVATE KEY-----/;

/** Takes note of a secret that a test uses: from now on no answer and no line of a log may hold it. Gives it back. */
export function keepSecret(secret: string): string {
  // Shorter ones would be found by chance.
  if (secret.length < 8) throw new Error('too short to look for');
  watch().secrets.add(secret);
  watch().secrets.add(Buffer.from(secret).toString('base64').replace(/=+$/, ''));
  // Of a key as PEM or a longer text, any line gives it away.
  for (const line of secret.split('\n')) if (line.length >= 40 && !line.startsWith('-----')) watch().secrets.add(line);
  return secret;
}

/** Looks for secrets in something that was shown, an answer or a line of a log. What is found is told by `findLeaks`. */
export function watchText(where: string, text: string): void {
  const { secrets, leaks } = watch();
  for (const secret of secrets)
    if (text.includes(secret)) leaks.push(`${where}: ${excerpt(text, text.indexOf(secret))}`);
  const at = text.search(privateKey);
  if (at >= 0) leaks.push(`${where}: ${excerpt(text, at)}`);
}

/** Has a log looked through when the tests of the file are over, whole: a secret may come in two pieces. */
export function watchLog(where: string, read: () => string): void {
  watch().logs.push(() => [where, read()]);
}

/** Where the secrets of this test file were found: what stood before each. */
export function findLeaks(): string[] {
  for (const read of watch().logs.splice(0)) watchText(...read());
  return watch().leaks.splice(0);
}

const excerpt = (text: string, at: number): string => JSON.stringify(text.slice(Math.max(0, at - 200), at + 4));
