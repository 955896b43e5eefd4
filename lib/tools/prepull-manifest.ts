import type { V1DaemonSet } from '@kubernetes/client-node';
import type { Config } from '../config/index.ts';

const name = 'sandbox-image';

/**
 * A DaemonSet that has the image of sandboxes on every node that sandboxes may run on: a Pod there that is made of it, and does nothing
 * by `command`. As it runs, the kubelet does not remove the image when its disk is full. It takes no other image: that could not be
 * had everywhere.
 */
export const buildPrepull = (
  { namespace, sandboxImage, runtimeClass }: Config,
  command: readonly string[] = ['sleep', 'infinity'],
): V1DaemonSet => ({
  apiVersion: 'apps/v1',
  kind: 'DaemonSet',
  // Not the labels of a sandbox: it is none.
  metadata: { name, namespace, labels: { 'app.kubernetes.io/name': name } },
  spec: {
    selector: { matchLabels: { 'app.kubernetes.io/name': name } },
    // A new image goes to all nodes at once: nobody needs what runs there.
    updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '100%' } },
    template: {
      metadata: { labels: { 'app.kubernetes.io/name': name } },
      spec: {
        // Where that has nodes of its own, sandboxes run on these alone.
        ...(runtimeClass !== undefined && { runtimeClassName: runtimeClass }),
        automountServiceAccountToken: false,
        enableServiceLinks: false,
        // As the first process of its container, `sleep` ends at no SIGTERM.
        terminationGracePeriodSeconds: 1,
        securityContext: {
          runAsNonRoot: true,
          runAsUser: 65534,
          runAsGroup: 65534,
          seccompProfile: { type: 'RuntimeDefault' },
        },
        containers: [
          {
            name: 'sleep',
            image: sandboxImage,
            imagePullPolicy: 'IfNotPresent',
            command: [...command],
            securityContext: {
              allowPrivilegeEscalation: false,
              readOnlyRootFilesystem: true,
              capabilities: { drop: ['ALL'] },
            },
            resources: { requests: { cpu: '1m', memory: '16Mi' }, limits: { cpu: '50m', memory: '16Mi' } },
          },
        ],
      },
    },
  },
});
