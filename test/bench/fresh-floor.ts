import { type Bodies, callBare, type Operation } from './floor.ts';
import { answerQuestions } from './helper-process.ts';
import { openRawClient, type RawAddress } from './raw-client.ts';

/** What a process is to do that makes the bare calls of one operation, for each of these sandboxes in turn, as its first. */
export type FreshFloor = {
  address: RawAddress;
  operation: Operation;
  namespace: string;
  sandboxes: { sandboxId: string; bodies: Bodies }[];
};

if (import.meta.main) {
  answerQuestions(async ({ address, operation, namespace, sandboxes }: FreshFloor) => {
    const client = openRawClient(address);
    const times: number[] = [];
    for (const { sandboxId, bodies } of sandboxes) {
      const start = performance.now();
      await callBare(client, operation, namespace, sandboxId, bodies);
      times.push(performance.now() - start);
    }
    return times;
  });
}
