import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

import { watchLog, watchText } from './secrets.ts';

const client = fileURLToPath(new URL('../lambda-runtime/node_modules/aws-lambda-ric/index.mjs', import.meta.url));
const nativeClient = new URL('./lambda-native-client.ts', import.meta.url).href;

/** Why nothing can be run as Lambda runs it; undefined where it can. */
export const noLambdaRuntime: string | undefined = existsSync(client)
  ? undefined
  : "Lambda's runtime client is not installed: `npm test` installs it, into test/lambda-runtime";

/** What an invocation came to: what the function answered, or how the runtime says that it failed. */
export type Invoked =
  // biome-ignore lint/suspicious/noExplicitAny: the tests assert what it is
  { readonly requestId: string } & ({ readonly answer: any } | { readonly errorType: string; errorMessage: string });

/** A function that runs as on Lambda: one process, one invocation at a time. */
export interface LambdaFunction {
  /** The function has `remainingMs` left for it, 29 s by default. Rejects where the process ends, or does not answer by then. */
  invoke(event: unknown, remainingMs?: number): Promise<Invoked>;
  /** What it has written to its log so far. */
  output(): string;
  stop(): Promise<void>;
}

/**
 * Starts Lambda's own runtime client on a function, with Lambda's variables and the settings and no others: it loads the handler
 * out of the folder, and asks the Runtime API that is here for one invocation after the other.
 */
export async function startLambdaFunction(
  name: string,
  { folder, handler, settings }: { folder: string; handler: string; settings: Record<string, string> },
): Promise<LambdaFunction> {
  type Invocation = { requestId: string; event: string; deadline: number; resolve(invoked: Invoked): void };
  const waiting: Invocation[] = [];
  const underWay = new Map<string, Invocation>();
  let next: http.ServerResponse | undefined;
  let output = '';

  /** Gives the invocation that waits to the process that has asked for one. */
  function giveNext(): void {
    const invocation = next && waiting.shift();
    if (next === undefined || invocation === undefined) return;
    underWay.set(invocation.requestId, invocation);
    next.writeHead(200, {
      'content-type': 'application/json',
      'lambda-runtime-aws-request-id': invocation.requestId,
      'lambda-runtime-deadline-ms': String(invocation.deadline),
      'lambda-runtime-invoked-function-arn': `arn:aws:lambda:eu-west-1:123456789012:function:${name}`,
      'lambda-runtime-trace-id': 'Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1',
    });
    next.end(invocation.event);
    next = undefined;
  }

  const runtimeApi = http.createServer(async (request, response) => {
    const [, requestId = '', what] =
      /^\/2018-06-01\/runtime\/(?:invocation\/)?([^/]+)(?:\/(response|error))?$/.exec(request.url ?? '') ?? [];
    if (requestId === 'next') {
      next = response;
      giveNext();
      return;
    }
    const body = await text(request);
    watchText(`what ${name} gave to Lambda`, body);
    const invocation = underWay.get(requestId);
    underWay.delete(requestId);
    if (what === 'response') invocation?.resolve({ requestId, answer: JSON.parse(body) });
    else invocation?.resolve({ requestId, ...JSON.parse(body) });
    response.writeHead(202).end();
  });
  await new Promise<void>((resolve) => runtimeApi.listen(0, '127.0.0.1', resolve));

  const child = spawn(process.execPath, ['--import', nativeClient, client], {
    cwd: folder,
    env: {
      PATH: process.env.PATH,
      AWS_LAMBDA_RUNTIME_API: `127.0.0.1:${(runtimeApi.address() as AddressInfo).port}`,
      // It then asks for the next invocation by itself, not through its native part.
      AWS_LAMBDA_NODEJS_USE_ALTERNATIVE_CLIENT_1: 'true',
      AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs24.x',
      AWS_LAMBDA_INITIALIZATION_TYPE: 'on-demand',
      AWS_LAMBDA_FUNCTION_NAME: name,
      AWS_LAMBDA_FUNCTION_VERSION: '$LATEST',
      AWS_LAMBDA_FUNCTION_MEMORY_SIZE: '1024',
      AWS_LAMBDA_LOG_GROUP_NAME: `/aws/lambda/${name}`,
      AWS_LAMBDA_LOG_STREAM_NAME: '2026/11/22/[$LATEST]8f507cfcxmpl4697b07aac58fc914c95',
      AWS_REGION: 'eu-west-1',
      LAMBDA_TASK_ROOT: folder,
      TZ: ':UTC',
      _HANDLER: handler,
      ...settings,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  watchLog(`the log of ${name}`, () => output);
  const exited = once(child, 'exit').then(([code, signal]) => {
    throw new Error(`${name} ended (${signal ?? code})\n${output}`);
  });
  // Told to whoever waits for an answer.
  exited.catch(() => {});

  return {
    output: () => output,
    async invoke(event, remainingMs = 29_000) {
      const answered = new Promise<Invoked>((resolve) => {
        const deadline = Date.now() + remainingMs;
        waiting.push({ requestId: randomUUID(), event: JSON.stringify(event), deadline, resolve });
        giveNext();
      });
      const timedOut = new Promise<never>((_, reject) => {
        const give = () => reject(new Error(`${name} has not answered within its ${remainingMs} ms\n${output}`));
        AbortSignal.timeout(remainingMs).addEventListener('abort', give);
      });
      return Promise.race([answered, exited, timedOut]);
    },
    async stop() {
      child.kill();
      await exited.catch(() => {});
      runtimeApi.closeAllConnections();
      await new Promise((resolve) => runtimeApi.close(resolve));
    },
  };
}
