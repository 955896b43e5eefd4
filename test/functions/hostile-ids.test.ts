import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { sandboxIdPattern, threadIdPattern } from '../../lib/model/names.ts';
import { hostileId } from '../support/hostile-ids.ts';
import { answerStatus, startApiServer, writeKubeconfig } from '../unit/api-server.ts';
import { create, destroy, get, renew, startCold, update } from './handlers.ts';

afterEach(() => vi.unstubAllEnvs());

// What may be asked of Kubernetes, whatever the ids are.
const calls =
  /^\/api\/v1\/namespaces\/deer-flow(\/(services|pods)(\/sandbox-[a-z0-9-]{1,51}(-svc)?)?)?(\?[\w=&%.-]*)?$/;

describe('ids, random and hostile, through the functions', () => {
  it('are refused with 422 before Kubernetes is asked, or asked for by legal names alone', async () => {
    const api = await startApiServer((_request, response) => answerStatus(response, 403, 'Forbidden'));
    startCold({ KUBECONFIG_PATH: await writeKubeconfig({ server: api.url }) });
    await fc.assert(
      fc.asyncProperty(hostileId, hostileId, async (sandboxId, threadId) => {
        const isLegal = sandboxIdPattern.test(sandboxId);
        const before = api.requests.length;
        const answers = [
          await get(sandboxId),
          await renew(sandboxId),
          await destroy(sandboxId),
          await update(sandboxId, { metadata: { team: 'red' } }),
          await create({ sandbox_id: sandboxId, thread_id: threadId }),
        ];
        const statuses = answers.map(({ status }) => status);
        const isCreated = isLegal && threadIdPattern.test(threadId);
        expect(statuses).toEqual([...Array(4).fill(isLegal ? 500 : 422), isCreated ? 500 : 422]);
        const asked = api.requests.slice(before);
        if (!isLegal) expect(asked).toEqual([]);
        for (const { url, method, body } of asked) {
          expect(url).toMatch(calls);
          if (method === 'POST') expect(isCreated, body).toBe(true);
        }
      }),
      { numRuns: 1_000 },
    );
  }, 120_000);
});
