import type { APIGatewayProxyEventV2, Context, ScheduledEvent } from 'aws-lambda';

export interface HttpRequest {
  readonly method: string;
  readonly path: string;
  /** Text is sent as it is, anything else as JSON with its content type. */
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
  readonly pathParameters?: Record<string, string>;
  /** The route that API Gateway matched; `$default` for the fallback. */
  readonly routeKey?: string;
  readonly query?: Record<string, string>;
  readonly isBase64Encoded?: boolean;
}

/** An event of an HTTP API, payload format 2.0, as API Gateway sends it. */
export function httpEvent(request: HttpRequest): APIGatewayProxyEventV2 {
  const { method, path, body, headers = {}, pathParameters, query } = request;
  const isText = typeof body === 'string' || body === undefined;
  const text = isText ? body : JSON.stringify(body);
  return {
    version: '2.0',
    routeKey: request.routeKey ?? `${method} ${path}`,
    rawPath: path,
    rawQueryString: new URLSearchParams(query).toString(),
    headers: {
      host: 'example.execute-api.eu-central-1.amazonaws.com',
      'user-agent': 'test',
      ...(isText ? {} : { 'content-type': 'application/json' }),
      ...(text === undefined ? {} : { 'content-length': String(Buffer.byteLength(text)) }),
      ...headers,
    },
    ...(pathParameters === undefined ? {} : { pathParameters }),
    ...(query === undefined ? {} : { queryStringParameters: query }),
    requestContext: {
      accountId: '123456789012',
      apiId: 'example',
      domainName: 'example.execute-api.eu-central-1.amazonaws.com',
      domainPrefix: 'example',
      http: { method, path, protocol: 'HTTP/1.1', sourceIp: '192.0.2.1', userAgent: 'test' },
      requestId: 'JKJaXmPLvHcESHA=',
      routeKey: request.routeKey ?? `${method} ${path}`,
      stage: '$default',
      time: '22/Nov/2026:12:00:00 +0000',
      timeEpoch: 1_795_348_800_000,
    },
    ...(text === undefined ? {} : { body: text }),
    isBase64Encoded: request.isBase64Encoded ?? false,
  };
}

/** An event of an EventBridge schedule. */
export function scheduledEvent(time = '2026-11-22T12:00:00Z'): ScheduledEvent {
  return {
    id: '53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa',
    version: '0',
    account: '123456789012',
    time,
    region: 'eu-central-1',
    resources: ['arn:aws:events:eu-central-1:123456789012:rule/example'],
    source: 'aws.events',
    'detail-type': 'Scheduled Event',
    detail: {},
  };
}

/** The second argument of a handler; the function has this long left, counted from now. */
export function lambdaContext(functionName = 'example', remainingMs = 29_000): Context {
  const deadline = Date.now() + remainingMs;
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionName,
    functionVersion: '$LATEST',
    invokedFunctionArn: `arn:aws:lambda:eu-central-1:123456789012:function:${functionName}`,
    memoryLimitInMB: '1024',
    awsRequestId: '8f507cfc-xmpl-4697-b07a-ac58fc914c95',
    logGroupName: `/aws/lambda/${functionName}`,
    logStreamName: '2026/11/22/[$LATEST]8f507cfcxmpl4697b07aac58fc914c95',
    getRemainingTimeInMillis: () => deadline - Date.now(),
    done: () => {},
    fail: () => {},
    succeed: () => {},
  };
}
