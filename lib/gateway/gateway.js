// What nginx asks of each request: is its token good, and which sandbox is meant? It runs in njs (0.7.9 and newer), which knows less than
// Node does, and begins anew for each request. docs/gateway.md has the form of a token.
import crypto from 'crypto';

/**
 * @typedef {{ variables: Record<string, string | undefined>, headersIn: Record<string, string | undefined>,
 *   headersOut: Record<string, string | string[] | undefined>, status: number }} Request
 * @typedef {{ namespace: string, sandbox_id: string, port: string, token: string, prefix: string, rest: string, isInHost: boolean }} Address
 */

const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';
const sandboxId = '([a-z0-9](?:[a-z0-9-]{0,49}[a-z0-9])?)';

/** @param {string} text */
const quote = (text) => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');

/**
 * Which sandbox an address means by a template, and what is left of its path. Both as they came: nothing encoded has a meaning here.
 * Undefined for an address that is of another form. Where the template names nothing in the host, that may be any.
 * @param {string} host @param {string} uri @param {string} template @param {string} namespace @param {string} port
 * @returns {Address | undefined}
 */
function readAddress(host, uri, template, namespace, port) {
  const parts = /^https?:\/\/([^/:]*)(?::[^/]*)?(.*)$/.exec(template) || ['', '', ''];
  const isInHost = parts[1].indexOf('{') >= 0;
  /** @type {string[]} */
  const groups = [];
  /** @param {string} text */
  const toPattern = (text) =>
    text
      .split(/\{(\w+)\}/)
      .map((part, index) => {
        if (index % 2 === 0) return quote(part);
        if (part === 'namespace') return quote(namespace);
        groups.push(part === 'service' ? 'sandbox_id' : part);
        if (part === 'port') return '([1-9][0-9]{0,4})';
        if (part === 'token') return '([^./?]*)';
        return part === 'service' ? `sandbox-${sandboxId}-svc` : sandboxId;
      })
      .join('');
  const hostPattern = isInHost ? toPattern(parts[1].toLowerCase()) : '[^/]*';
  groups.push('prefix');
  const found = new RegExp(`^${hostPattern}(${toPattern(parts[2])})((?:[/?].*)?)$`).exec(host + uri);
  if (found === null) return undefined;
  const rest = found[found.length - 1] || '';
  const address = { namespace: namespace, port: port, isInHost: isInHost, rest: rest[0] === '/' ? rest : `/${rest}` };
  return groups.reduce(
    (all, name, index) => Object.assign(all, { [name]: found[index + 1] }),
    /** @type {any} */ (address),
  );
}

/** @param {string} key @param {string} text */
const hmac = (key, text) => crypto.createHmac('sha256', key).update(text).digest();

/** RFC 4648, in lower case and without padding. @param {Buffer} bytes */
function toBase32(bytes) {
  let text = '';
  let bits = 0;
  let held = 0;
  for (let index = 0; index < bytes.length; index += 1) {
    held = ((held & 31) << 8) | Number(bytes[index]);
    for (bits += 8; bits >= 5; bits -= 5) text += alphabet[(held >> (bits - 5)) & 31];
  }
  return bits > 0 ? text + alphabet[(held << (5 - bits)) & 31] : text;
}

/** Takes the same time wherever they differ. @param {string} one @param {string} other */
function isSame(one, other) {
  let difference = one.length ^ other.length;
  for (let index = 0; index < one.length; index += 1) difference |= one.charCodeAt(index) ^ other.charCodeAt(index);
  return difference === 0;
}

/**
 * What the token of an address is to it: `good`; or the status of the refusal, 401 for none and for one that has expired, 403 for another.
 * @param {Address} address @param {string} keysText @param {number} now
 */
function judgeToken(address, keysText, now) {
  const token = address.token || '';
  if (!/^[a-z2-7]{34}$/.test(token)) return '401';
  let head = 0;
  for (let index = 0; index < 8; index += 1) head = head * 32 + alphabet.indexOf(token.charAt(index));
  const expiresAt = head % 4294967296;
  const signed = ['v1', address.namespace, address.sandbox_id, address.port, expiresAt].join('\n');
  /** @type {string[]} */
  const keys = /^\s*\[/.test(keysText) ? JSON.parse(keysText) : [keysText];
  const isKnown = keys
    .map((key) => key.trim())
    .filter((key) => key.length >= 32 && hmac(key, 'key id')[0] === Math.floor(head / 4294967296))
    .some((key) => isSame(toBase32(hmac(key, signed).slice(0, 16)), token.slice(8)));
  if (!isKnown) return '403';
  return expiresAt !== 0 && expiresAt * 1000 <= now ? '401' : 'good';
}

/**
 * Says `good`, or the status of the refusal. Nginx goes on at `good` alone, with what is set here: which sandbox is asked for what.
 * @param {Request} r
 */
function check(r) {
  const env = process.env;
  const template = env.SANDBOX_URL_TEMPLATE || '';
  const host = r.variables.host || '';
  const uri = r.variables.request_uri || '';
  const address = readAddress(host, uri, template, env.K8S_NAMESPACE || '', env.SANDBOX_CONTAINER_PORT || '');
  if (address === undefined) return '404';
  const verdict = judgeToken(address, env.SANDBOX_URL_KEY || '', Date.now());
  if (verdict !== 'good') return verdict;
  r.variables.gateway_target = `sandbox-${address.sandbox_id}-svc.${address.namespace}.svc.cluster.local:${address.port}`;
  r.variables.gateway_rest = address.rest;
  r.variables.gateway_prefix = address.prefix;
  r.variables.gateway_path = address.rest.split('?')[0];
  // On a host that all sandboxes share, each would get the cookies of all others.
  if (address.isInHost) {
    r.variables.gateway_has_cookies = 'yes';
    r.variables.gateway_cookie = r.headersIn.Cookie || '';
  }
  return 'good';
}

/** @type {Record<string, string>} */
const reasons = {
  401: 'This address has no token, or one that has expired: ask for a new address',
  403: 'The token of this address is not one for it',
  404: 'There is no sandbox at this address, or it is gone',
  502: 'The sandbox does not answer yet: try again in a moment',
};

/** @param {Request} r */
const wantsPage = (r) => (r.headersIn.Accept || '').indexOf('text/html') >= 0;

/** The body of a refusal: a page for browsers, JSON for all others. @param {Request} r */
function describe(r) {
  const status = r.variables.gateway_status || '';
  const reason = reasons[status];
  if (!wantsPage(r)) return `${JSON.stringify({ detail: reason })}\n`;
  const head = `<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${status}</title>`;
  return `<!doctype html>${head}<p>${reason}.</p>\n`;
}

/** Its headers. @param {Request} r */
function finishRefusal(r) {
  r.headersOut['Content-Type'] = wantsPage(r) ? 'text/html; charset=utf-8' : 'application/json';
  r.headersOut['Cache-Control'] = 'no-store';
  if (r.status === 401) r.headersOut['WWW-Authenticate'] = 'SignedAddress';
  if (r.status === 502) r.headersOut['Retry-After'] = '1';
}

/**
 * Why a sandbox could not be reached: 404 where there is no such name, which is known at once. A DNS that does not answer says nothing.
 * @param {Request} r
 */
const findFailure = (r) => (!r.variables.upstream_addr && Number(r.variables.request_time) < 4 ? '404' : '502');

/** The headers of a sandbox's own answer: its cookies are for its own host alone, and its pages tell others no address. @param {Request} r */
function finishAnswer(r) {
  const cookies = /** @type {string[]} */ (r.headersOut['Set-Cookie'] || []);
  const isKept = r.variables.gateway_has_cookies === 'yes';
  r.headersOut['Set-Cookie'] = isKept ? cookies.map((one) => one.replace(/;\s*domain\s*=[^;]*/gi, '')) : [];
  if (!r.headersOut['Referrer-Policy']) r.headersOut['Referrer-Policy'] = 'same-origin';
}

export default { check, describe, finishRefusal, findFailure, finishAnswer, readAddress, judgeToken };
