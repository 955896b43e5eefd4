import { matching, oneOf } from './rules.ts';
import type { Settings } from './setting.ts';

/** Where figures go. */
export const metricsSettings = {
  METRICS: {
    field: 'metrics',
    rule: () => oneOf('off', 'emf', 'prometheus'),
    default: 'off' as const,
    neededBy: 'every function',
    doc: '`emf`: figures are written into the log for CloudWatch; `prometheus`: [the server](compose.md#the-server) answers `GET /metrics`; `off`. [Operations](operations.md#metrics) has them all',
  },
  METRICS_NAMESPACE: {
    field: 'metricsNamespace',
    rule: () => matching(/^(?!AWS\/)[\w./#:-]{1,255}$/, "must be a namespace of CloudWatch, and not one of AWS'"),
    default: 'SandboxProvisioner',
    neededBy: 'every function',
    doc: "the metrics' namespace in CloudWatch. Give each deployment of an account its own",
  },
} as const satisfies Settings;
