import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { operations } from '../../lib/openapi/operations.ts';
import { noBrowser, openBrowser } from '../support/browser.ts';
import { newSandboxId, useWorld } from '../support/world.ts';

const world = useWorld();
const summaries = operations.map(({ summary }) => summary);

describe.skipIf(noBrowser !== '')(`the page of the description, in a browser${noBrowser}`, () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await openBrowser();
  });
  afterAll(async () => {
    await browser?.close();
    await world.clear();
  });

  it('shows every operation and calls them with a key, asks nobody but us, and breaks no policy', async () => {
    const page = await browser.newPage({ viewport: { width: 1400, height: 1000 } });
    const [asked, complaints]: [string[], string[]] = [[], []];
    page.on('request', (request) => asked.push(new URL(request.url()).origin));
    page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(error.message));
    await page.goto(`${world.provisioner.url}/docs`);
    for (const summary of summaries) await page.getByText(summary, { exact: true }).first().waitFor();

    await page.locator('#link-auth').click();
    await page.locator('input[name="api-key"]').fill(world.apiKey);
    await page.getByText('SET', { exact: true }).click();
    const call = async (method: string, path: string, body?: object) => {
      await page.locator(`[id="link-${method}-${path}"]`).click();
      if (body !== undefined) {
        await page.locator('[data-tab="body"]').first().click();
        await page.locator('textarea.request-body-param-user-input').fill(JSON.stringify(body));
      }
      const answered = page.waitForResponse((one) => new URL(one.url()).pathname === path);
      await page.getByText('EXECUTE', { exact: true }).click();
      const answer = await answered;
      return { status: answer.status(), body: await answer.json() };
    };
    const sandboxId = newSandboxId();
    // Where a page of another origin would be refused: the browser says of this one that it is ours.
    const created = await call('post', '/api/sandboxes', { sandbox_id: sandboxId });
    expect(created).toMatchObject({ status: 200, body: { sandbox_id: sandboxId } });
    expect(await call('get', '/api/sandboxes')).toMatchObject({ status: 200, body: { count: 1 } });
    await page.getByText(sandboxId).first().waitFor();
    expect(complaints).toEqual([]);
    expect(new Set(asked)).toEqual(new Set([world.provisioner.url]));
  });
});
