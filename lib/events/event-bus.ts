import { AwsV4Signer } from 'aws4fetch';
import { hostOf } from '../aws-regions.ts';
import type { AwsConfig } from '../config/aws.ts';
import type { Target } from './delivery.ts';

/** What EventBridge says where another call may go better. */
const passing = /Throttl|TooManyRequests|Internal|Unavailable|Timeout/i;

type Result = { ErrorCode?: string; ErrorMessage?: string };

/** An event bus of EventBridge, by its name or its ARN: `PutEvents`, which takes ten at once, and may take some and refuse others. */
export function openEventBus(bus: string, aws: AwsConfig, now: () => Date): Target {
  const region = /^arn:[^:]+:events:([^:]+):/.exec(bus)?.[1] ?? aws.region;
  return {
    most: 10,
    async send(events, signal) {
      const refuseAll = (why: string, isFinal: boolean) => events.map((event) => ({ event, why, isFinal }));
      const { accessKeyId, secretAccessKey, sessionToken, eventBridgeEndpoint } = aws;
      if (accessKeyId === undefined || secretAccessKey === undefined) {
        return refuseAll('there are no AWS credentials in the environment', true);
      }
      if (region === undefined) return refuseAll('neither EVENT_BUS_NAME nor AWS_REGION names a region', true);
      const Entries = events.map((event) => ({
        EventBusName: bus,
        Source: 'sandbox-provisioner',
        DetailType: event.type,
        Time: Date.parse(event.timestamp) / 1000,
        Detail: JSON.stringify(event),
      }));
      const signed = await new AwsV4Signer({
        method: 'POST',
        url: eventBridgeEndpoint ?? `https://${hostOf('events', region)}/`,
        headers: { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': 'AWSEvents.PutEvents' },
        body: JSON.stringify({ Entries }),
        ...{ accessKeyId, secretAccessKey, service: 'events', region },
        ...(sessionToken !== undefined && { sessionToken }),
        datetime: now()
          .toISOString()
          .replace(/[:-]|\.\d{3}/g, ''),
      }).sign();
      const { method, headers, body } = signed;
      // As for a webhook; no part of what is signed.
      headers.set('connection', 'close');
      const response = await fetch(signed.url, { method, headers, body: body ?? null, redirect: 'manual', signal });
      const text = await response.text();
      if (!response.ok) {
        const { status } = response;
        const [code = ''] = /[A-Z]\w+(?:Exception|Error|Failure)\b/.exec(text) ?? [];
        const isFinal = status < 500 && status !== 429 && !passing.test(code);
        return refuseAll(`it answered ${`${status} ${code}`.trim()}`, isFinal);
      }
      // Each in its turn.
      const { Entries: results = [] }: { Entries?: Result[] } = JSON.parse(text);
      return events.flatMap((event, index) => {
        const code = results[index] === undefined ? 'nothing of it' : results[index].ErrorCode;
        return code === undefined
          ? []
          : [{ event, why: `it answered ${code}`, isFinal: index < results.length && !passing.test(code) }];
      });
    },
  };
}
