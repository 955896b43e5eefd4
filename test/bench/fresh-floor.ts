import { type Bodies, callBare, type Operation } from './floor.ts';
import { answerQuestions } from './helper-process.ts';
import { openRawClient, type RawAddress } from './raw-client.ts';

/** What a process is to do that makes the bare calls of one operation as its first. */
export type FreshFloor = {
  address: RawAddress;
  operation: Operation;
  namespace: string;
  sandboxId: string;
  bodies: Bodies;
};

if (import.meta.main) {
  answerQuestions(async ({ address, operation, namespace, sandboxId, bodies }: FreshFloor) => {
    const client = openRawClient(address);
    const start = performance.now();
    await callBare(client, operation, namespace, sandboxId, bodies);
    return { firstMs: performance.now() - start };
  });
}
