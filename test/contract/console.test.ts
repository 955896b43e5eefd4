import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

import type { Browser, BrowserContextOptions, Page, Route } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import type { Sandbox, SandboxEvents } from '../../lib/client/index.ts';
import { noBrowser, openBrowser } from '../support/browser.ts';
import { callHttp } from '../support/http-call.ts';
import { lean, newSandboxId, useWorld } from '../support/world.ts';

const world = useWorld(lean);
/** What comes true on a machine that does much else, too. */
const soon = <T>(look: () => T) => expect.poll(look, { timeout: 20_000 });
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

it('is one page of less than 150 KB, at both of its paths', async () => {
  for (const path of ['/', '/console']) {
    const answer = await callHttp({ method: 'GET', url: `${world.provisioner.url}${path}` });
    expect(answer).toMatchObject({ status: 200, headers: { 'content-type': 'text/html; charset=utf-8' } });
    expect(Buffer.byteLength(answer.text)).toBeLessThan(150_000);
    // Nothing in the policy lets a script or a style run that was put into the page.
    expect(answer.headers['content-security-policy']).not.toContain('unsafe');
  }
});

/** A sandbox as the API tells of it. */
const view = (more: Partial<Sandbox> = {}): Sandbox => ({
  ...{ sandbox_id: 'a1b2', sandbox_url: 'http://127.0.0.1:30001', status: 'Running', ready: true },
  ...{ thread_id: 'thread-1', user_id: 'alice', metadata: {}, image: 'sandbox:1' },
  ...{ max_shell_sessions: 10, container_id: 'c1', lark_cli_broker: false },
  ...{ created_at: '2026-11-24T12:00:00.000Z', expires_at: '2099-11-24T12:00:00.000Z' },
  ...more,
});
const failing = view({
  ...{ sandbox_id: 'failing', status: 'Pending', ready: false, reason: 'ImagePullBackOff' },
  ...{ message: 'Its image cannot be pulled: its registry refuses it without a login.', metadata: { team: 'red' } },
});
const many = Array.from({ length: 3_000 }, (_, index) =>
  view({
    ...{ sandbox_id: `s${String(index).padStart(4, '0')}`, user_id: index === 7 ? 'bob' : 'alice' },
    created_at: new Date(Date.UTC(2026, 10, 24) + index * 1000).toISOString(),
  }),
);

type Answers = {
  list?: readonly Sandbox[] | ((route: Route) => unknown);
  events?: Partial<SandboxEvents>['events'];
  log?: string;
  hash?: string;
};

describe.skipIf(noBrowser !== '')(`the console, in a browser${noBrowser}`, () => {
  let browser: Browser;
  let complaints: string[] = [];
  let origins = new Set<string>();
  beforeAll(async () => {
    browser = await openBrowser();
  });
  afterEach(async () => {
    for (const context of browser.contexts()) await context.close();
    // Of nothing that broke its policy, and of no call to anybody else.
    expect(complaints).toEqual([]);
    expect([...origins].filter((origin) => new URL(origin).port !== new URL(world.provisioner.url).port)).toEqual([]);
    [complaints, origins] = [[], new Set()];
  });
  afterAll(async () => {
    await browser?.close();
    await world.clear();
  });

  /** A tab, which shows nothing yet. */
  async function newTab(options: BrowserContextOptions = {}): Promise<Page> {
    const page = await (await browser.newContext(options)).newPage();
    page.on('request', (request) => origins.add(new URL(request.url()).origin));
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('console', (message) => {
      // What the API refuses, the browser says too.
      if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) {
        complaints.push(message.text());
      }
    });
    return page;
  }

  const isList = ({ pathname }: URL) => pathname.endsWith('/api/sandboxes');

  /** A tab with the page, whose calls are answered so. */
  async function show({ list = [], events = [], log = '' }: Answers, hash = '', options: BrowserContextOptions = {}) {
    const page = await newTab(options);
    const calls: URL[] = [];
    await page.route('**/api/**', (route) => {
      const url = new URL(route.request().url());
      calls.push(url);
      if (url.pathname.endsWith('/events')) return route.fulfill({ json: { sandbox_id: 'a1b2', ready: true, events } });
      if (url.pathname.endsWith('/logs')) return route.fulfill({ body: log, contentType: 'text/plain' });
      return typeof list === 'function'
        ? list(route)
        : route.fulfill({ json: { sandboxes: list, count: list.length } });
    });
    await page.goto(`${world.provisioner.url}/console${hash}`);
    return { page, lists: () => calls.filter(isList), calls };
  }

  const refuse =
    (status: number, detail: string, headers: Record<string, string> = {}) =>
    (route: Route) =>
      route.fulfill({ status, headers, json: { detail } });
  const wrongKey = refuse(401, 'A valid X-API-Key is required', { 'www-authenticate': 'ApiKey realm="x"' });

  /** What axe finds in the page as it is. */
  const faultsOf = (page: Page): Promise<string[]> =>
    page.evaluate(`(async () => {
      ${axe};
      const { violations } = await axe.run(document, { resultTypes: ['violations'] });
      return violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ html }) => html).join(' '));
    })()`);

  describe('by the API as it is', () => {
    /** The page of the API that runs, called by any name, with the key entered. */
    async function signIn(url = world.provisioner.url): Promise<Page> {
      const page = await newTab();
      await page.goto(`${url}/`);
      await page.getByLabel('Key').fill(world.apiKey);
      await page.keyboard.press('Enter');
      return page;
    }

    it('asks for the key once in a tab, and says when it is wrong', async () => {
      const { sandboxId } = await world.givenSandbox();
      const page = await newTab();
      await page.goto(`${world.provisioner.url}/console`);
      for (const [key, told] of [
        ['', 0],
        ['not the key', 1],
        // A header cannot carry it as it is.
        ['schlüssel 🔑', 1],
      ] as const) {
        await page.getByLabel('Key').fill(key);
        await page.keyboard.press('Enter');
        await soon(() => page.getByText('The key was not accepted.').count()).toBe(told);
      }
      await page.getByLabel('Key').fill(world.apiKey);
      await page.keyboard.press('Enter');
      await page.getByRole('link', { name: sandboxId, exact: true }).waitFor();
      await page.reload();
      await page.getByRole('link', { name: sandboxId, exact: true }).waitFor();
      const other = await page.context().newPage();
      await other.goto(`${world.provisioner.url}/console`);
      await other.getByLabel('Key').waitFor();
      const held = Promise.withResolvers<void>();
      await page.route('**/api/**', async (route) => {
        await held.promise;
        await route.continue();
      });
      await page.getByRole('button', { name: 'Forget the key' }).click();
      // What the key let see goes with it, before the next answer.
      await soon(() => page.getByRole('link', { name: sandboxId, exact: true }).count()).toBe(0);
      held.resolve();
      await page.getByLabel('Key').waitFor();
      await page.reload();
      await page.getByLabel('Key').waitFor();
    });

    it('finds a sandbox by its user, shows what happened to it, renews and removes it', async () => {
      const [sandboxId, other] = [newSandboxId(), newSandboxId()];
      await world.create({ sandbox_id: sandboxId, user_id: 'console-1', metadata: { team: 'red' }, ttl_seconds: 600 });
      await world.create({ sandbox_id: other, user_id: 'console-2' });
      await world.untilRunning(sandboxId);
      // Over plain HTTP and by a name, where browsers do not say that a page calls from its own origin.
      const page = await signIn(`http://console.test:${new URL(world.provisioner.url).port}`);
      await page.getByRole('link', { name: other, exact: true }).waitFor();
      await page.getByLabel('Search').fill('user_id=console-1 metadata.team=red');
      await soon(() => page.getByRole('link', { name: other, exact: true }).count()).toBe(0);
      await page.getByRole('link', { name: sandboxId, exact: true }).click();
      await page.getByRole('cell', { name: 'Scheduled', exact: true }).waitFor();
      await page.getByText('team=red').waitFor();

      const expiry = async () =>
        (await world.list()).body.sandboxes.find((one: Sandbox) => one.sandbox_id === sandboxId);
      const before = await expiry();
      await page.getByRole('button', { name: 'Renew…' }).click();
      await page.getByLabel('It may go unused for').selectOption('8 hours');
      await page.getByRole('button', { name: 'Cancel' }).click();
      await page.getByRole('button', { name: 'Renew…' }).click();
      await page.getByLabel('It may go unused for').selectOption('7 days');
      await page.getByRole('button', { name: 'Renew', exact: true }).click();
      await page.getByText(`${sandboxId} was renewed.`).waitFor();
      const gained = Date.parse((await expiry()).expires_at) - Date.parse(before.expires_at);
      expect(gained).toBeGreaterThan(6 * 86_400_000);

      await page.getByRole('button', { name: 'Remove…' }).click();
      await page.getByRole('dialog').waitFor();
      await page.keyboard.press('Escape');
      await page.getByRole('dialog').waitFor({ state: 'detached' });
      expect(await world.findService(sandboxId)).toBeDefined();
      await page.getByRole('button', { name: 'Remove…' }).click();
      await page.getByRole('button', { name: 'Remove', exact: true }).click();
      await page.getByText(`${sandboxId} was removed.`).waitFor();
      expect(await world.findService(sandboxId)).toBeUndefined();
      expect(await world.findService(other)).toBeDefined();
    });
  });

  it.each([
    ['nothing', { list: [] }, 'There are no sandboxes.'],
    ['five', { list: many.slice(0, 5) }, '1–5 of 5'],
    ['3,000', { list: many }, '1–50 of 3,000'],
    ['one that fails', { list: [failing] }, failing.message as string],
    [
      'an error',
      { list: refuse(503, 'Kubernetes is overloaded', { 'x-request-id': 'f7a1' }) },
      'The sandboxes could not be listed. Kubernetes is overloaded. (503, request f7a1) Asks again after 10 s.',
    ],
    ['no answer', { list: (route) => route.abort() }, 'The provisioner does not answer.'],
    ['that the key is asked for', { list: wrongKey }, 'Key'],
    ['what does not match', { list: [failing], hash: '#/?search=nobody' }, 'No sandbox is like that.'],
    ['a sandbox that is not there', { list: [failing], hash: '#/sandboxes/gone' }, 'There is no sandbox gone.'],
    ['a sandbox', { list: [failing], hash: '#/sandboxes/failing', log: 'one\ntwo' }, 'What happened'],
  ] as [string, Answers, string][])(
    'shows %s, in light and dark, on a phone, and axe finds no fault',
    async (_what, { hash, ...answers }, text) => {
      for (const options of [
        { colorScheme: 'light' },
        { colorScheme: 'dark' },
        { viewport: { width: 360, height: 740 } },
      ] as const) {
        const events = [
          { type: 'Warning' as const, reason: 'Failed', message: 'm', count: 4, first_seen: null, last_seen: null },
        ];
        const { page } = await show({ events, ...answers }, hash, options);
        await page.getByText(text).first().waitFor();
        expect(await faultsOf(page)).toEqual([]);
        // Nothing is cut off at its side.
        expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
      }
    },
  );

  it('asks a question that axe finds no fault in, and says why an answer was refused', async () => {
    const { page } = await show({ list: [failing] }, '#/sandboxes/failing');
    for (const [name, answer] of [
      ['Renew…', 'Renew'],
      ['Remove…', 'Remove'],
    ] as const) {
      await page.getByRole('button', { name }).click();
      expect(await faultsOf(page)).toEqual([]);
      await page.route(/failing(\/renew)?$/, refuse(503, 'Kubernetes is overloaded'));
      await page.getByRole('button', { name: answer, exact: true }).click();
      await page.getByText('Kubernetes is overloaded. (503)').waitFor();
      await page.getByRole('button', { name: 'Cancel' }).click();
      // Where it was before.
      await soon(() => page.evaluate('document.activeElement.textContent')).toBe(name);
    }
  });

  it('shows a window of 3,000, sorts and searches them, and finds those of one status', async () => {
    const list = many.map((one, index) =>
      index === 42 ? { ...failing, sandbox_id: one.sandbox_id, created_at: one.created_at } : one,
    );
    const { page, lists } = await show({ list });
    const ids = () => page.locator('tbody th a').allTextContents();
    await soon(async () => (await ids())[0]).toBe('s2999');
    expect(await ids()).toHaveLength(50);
    await page.getByRole('button', { name: 'Next' }).click();
    await soon(async () => (await ids())[0]).toBe('s2949');
    await page.getByRole('button', { name: 'Sandbox', exact: true }).click();
    await soon(async () => (await ids())[0]).toBe('s0000');
    await page.getByLabel('Search').fill('BOB s000');
    await soon(ids).toEqual(['s0007']);
    await page.getByLabel('Search').fill('');
    await page.getByRole('button', { name: 'Pending 1' }).click();
    await soon(ids).toEqual(['s0042']);
    await page.getByRole('button', { name: 'Not ready 1' }).click();
    await soon(() => page.url()).toContain('only=unready');
    expect(await ids()).toEqual(['s0042']);
    // All of that of one list.
    expect(lists()).toHaveLength(1);
    await page.getByLabel('Search').fill('user_id=bob metadata.team=red ready=false status=Pending');
    await expect
      .poll(() => lists().map(({ searchParams }) => Object.fromEntries(searchParams)))
      .toEqual([{}, { user_id: 'bob', 'metadata.team': 'red', ready: 'false', status: 'Pending' }]);
  });

  /** A tab in which time stands still until it is let go on; an answer takes none. */
  async function newTabWithoutTime(answer: (asked: number, route: Route) => unknown) {
    const page = await newTab();
    let asked = 0;
    await page.route('**/api/sandboxes', (route) => {
      asked += 1;
      return answer(asked, route);
    });
    await page.clock.install();
    await page.addInitScript('performance.now = () => 0');
    await page.clock.pauseAt(Date.now() + 3_600_000);
    await page.goto(`${world.provisioner.url}/`);
    /** Lets so many seconds pass. It has asked so often then, and shows this. */
    const pass = async (seconds: number, times: number, text: string) => {
      await page.clock.runFor(seconds * 1000);
      await soon(() => asked).toBe(times);
      await page.getByText(text).waitFor();
    };
    return { page, pass };
  }

  it('asks again while it is seen, the more seldom the more there are, and not while it is hidden', async () => {
    const { page, pass } = await newTabWithoutTime((asked, route) => {
      const list = asked === 1 ? many : many.slice(0, asked);
      return route.fulfill({ json: { sandboxes: list, count: list.length } });
    });
    const hide = (hidden: boolean) =>
      page.evaluate(`
        Object.defineProperty(document, 'hidden', { value: ${hidden}, configurable: true });
        document.dispatchEvent(new Event('visibilitychange'));
      `);
    await pass(1, 1, '1–50 of 3,000');
    await pass(28, 1, 'every 30 s');
    await pass(3, 2, '1–2 of 2');
    await pass(4, 2, 'every 5 s');
    await pass(2, 3, '1–3 of 3');
    await hide(true);
    await pass(600, 3, '1–3 of 3');
    await hide(false);
    await pass(1, 4, '1–4 of 4');
    // The chart has a step for each answer.
    expect((await page.locator('.count.all .line').getAttribute('d'))?.match(/V/g)).toHaveLength(3);
  });

  it('pauses longer after each failure, and as long as it is told', async () => {
    const { pass } = await newTabWithoutTime((asked, route) =>
      asked < 4
        ? refuse(503, 'no', asked === 1 ? { 'retry-after': '50' } : {})(route)
        : route.fulfill({ json: { sandboxes: [], count: 0 } }),
    );
    await pass(1, 1, 'Asks again after 50 s.');
    await pass(48, 1, 'Asks again after 50 s.');
    await pass(3, 2, 'Asks again after 20 s.');
    await pass(18, 2, 'Asks again after 20 s.');
    await pass(3, 3, 'Asks again after 40 s.');
    await pass(41, 4, 'every 5 s');
  });

  it('works with the keyboard alone, and shows where one is', async () => {
    const { page, calls } = await show({ list: [failing] });
    await page.getByRole('link', { name: 'failing', exact: true }).waitFor();
    /** Goes on by Tab until there, and sees to it that every place is marked. */
    const tabTo = async (name: string) => {
      for (let steps = 0; steps < 40; steps += 1) {
        await page.keyboard.press('Tab');
        const [text, outline] = await page.evaluate<[string, string]>(
          '[at.ariaLabel ?? at.textContent, at === document.body ? "solid" : getComputedStyle(at).outlineStyle]'.replaceAll(
            'at',
            'document.activeElement',
          ),
        );
        expect(outline).toBe('solid');
        if (text === name) return;
      }
      throw new Error(`Tab does not come to ${name}`);
    };
    await tabTo('failing');
    await page.keyboard.press('Enter');
    await soon(() => page.evaluate('document.activeElement.tagName')).toBe('H1');
    await tabTo('Remove…');
    await page.keyboard.press('Enter');
    await tabTo('Remove');
    const removed = page.waitForRequest((request) => request.method() === 'DELETE');
    await page.keyboard.press('Enter');
    expect(new URL((await removed).url()).pathname).toBe('/api/sandboxes/failing');
    await soon(() => page.url()).toMatch(/#\/$/);
    expect(calls.some(({ pathname }) => pathname === '/api/sandboxes/failing/events')).toBe(true);
  });

  it('runs nothing that stands in an id, a message, a metadata value, an address, an event or a log', async () => {
    const evil = `"'><img src=x onerror="document.title='run'"><script>document.title='run'</script>`;
    const hostile = view({
      ...{ sandbox_id: evil, thread_id: evil, user_id: evil, metadata: { [evil]: evil }, image: evil },
      ...{ ready: false, reason: evil as 'Error', message: evil, container_id: evil },
      sandbox_url: "javascript:document.title='run'",
    });
    const event = {
      type: 'Warning' as const,
      reason: evil,
      message: evil,
      count: 1,
      first_seen: evil,
      last_seen: null,
    };
    const answers = { list: [hostile], events: [event], log: `</textarea>${evil}` };
    const { page } = await show(answers);
    await page.getByRole('link', { name: evil, exact: true }).click();
    await page.getByRole('cell', { name: evil, exact: true }).last().waitFor();
    await soon(() => page.getByLabel('What it has printed').inputValue()).toBe(answers.log);
    await page.getByRole('button', { name: 'Remove…' }).click();
    await page.getByText(`Remove ${evil}?`).waitFor();
    expect(await page.locator('img, [href^="javascript"], #console script').count()).toBe(0);
    expect(await page.title()).not.toBe('run');
    await page.goto(`${world.provisioner.url}/console#/?search=${encodeURIComponent(evil)}&only=${evil}&sort=${evil}`);
    await page.getByText('No sandbox is like that.').waitFor();
    // What the API refuses is shown in its own words, too.
    const { page: other } = await show({ list: refuse(500, evil) });
    await other.getByText(evil).waitFor();
    expect(await other.locator('img').count()).toBe(0);
  });

  it('shows a token where one is asked for', async () => {
    const shown: (string | undefined)[] = [];
    const { page } = await show({
      list: (route) => {
        const { authorization } = route.request().headers();
        shown.push(authorization);
        return authorization === undefined
          ? // As API Gateway refuses.
            route.fulfill({ status: 401, headers: { 'www-authenticate': 'Bearer' }, json: { message: 'Unauthorized' } })
          : route.fulfill({ json: { sandboxes: [view()], count: 1 } });
      },
    });
    await page.getByLabel('Token').fill('a.b.c');
    await page.keyboard.press('Enter');
    await page.getByRole('link', { name: 'a1b2', exact: true }).waitFor();
    expect(shown).toEqual([undefined, 'Bearer a.b.c']);
  });

  it.each(['/production', '/production/', '/production/console', '/a/base/console'])(
    'finds the API beside itself: %s',
    async (path) => {
      const page = await newTab();
      const asked: string[] = [];
      const base = path.replace(/\/(console)?$/, '');
      await page.route(`**${path}`, async (route) =>
        route.fulfill({ response: await route.fetch({ url: `${world.provisioner.url}/console` }) }),
      );
      await page.route('**/api/**', (route) => {
        asked.push(new URL(route.request().url()).pathname);
        return route.fulfill({ json: { sandboxes: [], count: 0 } });
      });
      await page.goto(`${world.provisioner.url}${path}`);
      await page.getByText('There are no sandboxes.').waitFor();
      expect(asked).toEqual([`${base}/api/sandboxes`]);
    },
  );
});
