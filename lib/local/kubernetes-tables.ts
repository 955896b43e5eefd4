import { isNamespace, isPod, isService, type KubernetesObject, type ResourceType } from './kubernetes-objects.ts';

/** An age as kubectl shows it: `5s`, `12m`, `3h`, `2d`. */
function formatAge(created: string, now: number): string {
  const seconds = Math.max(0, Math.round((now - Date.parse(created)) / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)}h` : `${Math.floor(seconds / 86_400)}d`;
}

const COLUMNS: Record<string, string[]> = {
  Pod: ['Name', 'Ready', 'Status', 'Restarts', 'Age'],
  Service: ['Name', 'Type', 'Cluster-IP', 'External-IP', 'Port(s)', 'Age'],
  Namespace: ['Name', 'Status', 'Age'],
  Event: ['Last Seen', 'Type', 'Reason', 'Object', 'Message'],
  ResourceQuota: ['Name', 'Age'],
};

function cellsOf(object: KubernetesObject, now: number): (string | number)[] {
  const age = formatAge(object.metadata.creationTimestamp, now);
  const { name } = object.metadata;
  if (isPod(object)) {
    const statuses = (object.status.containerStatuses ?? []) as {
      ready: boolean;
      state: { waiting?: { reason: string } };
    }[];
    const ready = statuses.filter((status) => status.ready).length;
    const waiting = statuses.find((status) => status.state.waiting)?.state.waiting?.reason;
    const status = object.metadata.deletionTimestamp ? 'Terminating' : (waiting ?? object.status.phase);
    return [name, `${ready}/${object.spec.containers.length}`, status, 0, age];
  }
  if (isService(object)) {
    const ports = (object.spec.ports ?? []).map(
      (port) => `${port.port}${port.nodePort ? `:${port.nodePort}` : ''}/${port.protocol}`,
    );
    return [name, object.spec.type ?? '', object.spec.clusterIP ?? '', '<none>', ports.join(','), age];
  }
  if (isNamespace(object)) return [name, object.status.phase, age];
  if (object.kind !== 'Event') return [name, age];
  const event = object as KubernetesObject & {
    type?: string;
    reason?: string;
    message?: string;
    involvedObject?: { name?: string };
  };
  return [age, event.type ?? '', event.reason ?? '', `pod/${event.involvedObject?.name}`, event.message ?? ''];
}

/** The `Table` that `kubectl get` asks for and prints. */
export function toTable(
  type: ResourceType,
  objects: readonly KubernetesObject[],
  metadata: object,
  now: number,
): object {
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata,
    columnDefinitions: (COLUMNS[type.kind] ?? []).map((name) => ({
      name,
      type: 'string',
      format: name === 'Name' ? 'name' : '',
      description: '',
      priority: 0,
    })),
    rows: objects.map((object) => ({
      cells: cellsOf(object, now),
      object: { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: object.metadata },
    })),
  };
}
