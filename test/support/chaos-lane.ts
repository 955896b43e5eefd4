import { setTimeout as wait } from 'node:timers/promises';
import { type Config, loadConfig } from '../../lib/config/index.ts';
import type { Kubernetes } from '../../lib/kubernetes/index.ts';
import type { ChaosClock } from './chaos-clock.ts';
import { type CallFault, type Hold, heldCalls, type Step, scriptFault } from './chaos-script.ts';
import type { TestCluster } from './cluster.ts';
import { type FaultAction, type KubernetesCall, kubernetesStatus, startKubernetesProxy } from './kubernetes-proxy.ts';
import { openKubernetes } from './open-kubernetes.ts';

/**
 * One process's way to the cluster: a client of its own, through a proxy of its own. It takes one step at a time, so that a
 * fault can be meant for a call of that step, whatever others do.
 */
export type Lane = {
  readonly kubernetes: Kubernetes;
  readonly config: Config;
  /**
   * From now on the calls are this step's: they fail as the script says; `timeOut` is called at the call that is cut so, and
   * what is held waits for `untilReleased`.
   */
  begin(step: Step, timeOut: () => void, untilReleased: (until: Hold['until']) => Promise<void>): void;
  /** From now on nothing fails. */
  beginUntroubled(): void;
  /** When no call can take effect any more: how many there were, and what was done to them. */
  end(): Promise<{ readonly calls: number; readonly faults: readonly string[] }>;
  close(): Promise<void>;
};

/** Opens a lane to the cluster, whose times are the clock's there; the faults are those of the seed's script. */
export async function openLane(
  cluster: TestCluster,
  clock: ChaosClock,
  settings: Record<string, string>,
  seed: number,
): Promise<Lane> {
  const proxy = await startKubernetesProxy(cluster.access, clock.translate);
  const config = loadConfig({ ...settings, KUBECONFIG_PATH: proxy.kubeconfig, KUBECONFIG_WAIT_SECONDS: '0' });
  const kubernetes = await openKubernetes(config, AbortSignal.timeout(5_000));
  let faults: string[] = [];
  let isCut = false;

  function begin(decide: (call: KubernetesCall) => FaultAction | undefined): void {
    proxy.reset();
    faults = [];
    isCut = false;
    let action: FaultAction | undefined;
    // The proxy takes the action right after it has asked whether there is one.
    proxy.injectFault({
      when(call) {
        action = decide(call);
        return action !== undefined;
      },
      get action() {
        return action as FaultAction;
      },
    });
  }

  return {
    kubernetes,
    config,
    begin(step, timeOut, untilReleased) {
      const held = new Set<string>();
      const occurrences = new Map<string, number>();
      const again = new Map<string, FaultAction>();
      let calls = 0;
      let isDead = false;
      function decideFault(name: string): FaultAction | undefined {
        const repeated = again.get(name);
        again.delete(name);
        if (repeated !== undefined) return repeated;
        const occurrence = occurrences.get(name) ?? 0;
        occurrences.set(name, occurrence + 1);
        const fault = scriptFault(seed, step.number, name, occurrence);
        if (fault === undefined) return undefined;
        const { kind, ...details } = fault;
        faults.push(`${kind} ${name} ${Object.values(details).join(' ')}`);
        const action = actionOf(fault);
        if ('twice' in fault && fault.twice) again.set(name, action);
        return action;
      }
      /** Whether the call is the one at which the step ends. */
      function isCutAt(name: string): boolean {
        const { atCall } = step.cut ?? {};
        return typeof atCall === 'string' ? heldCalls[atCall].test(name) && !isCut : atCall === calls;
      }
      begin((call) => {
        calls += 1;
        if (isDead) return { cut: 'before' };
        const name = describeCall(call, cluster.namespace);
        if (step.cut !== undefined && isCutAt(name)) {
          const { how, takesEffect } = step.cut;
          isCut = true;
          faults.push(`${how} at ${name}${takesEffect ? ', which takes effect' : ''}`);
          if (how === 'death') {
            isDead = true;
            return { cut: takesEffect ? 'after' : 'before' };
          }
          timeOut();
          // A call that is delayed is dropped once its caller is gone.
          return { delayMs: takesEffect ? 0 : 5 };
        }
        const fault = decideFault(name);
        if (step.hold === undefined || !heldCalls[step.hold.call].test(name) || held.has(name)) return fault;
        const { side, until } = step.hold;
        held.add(name);
        faults.push(`held ${name}, ${side}`);
        if (side === 'call') return { hold: () => untilReleased(until), ...(fault && { afterwards: fault }) };
        return fault ?? { holdAnswer: () => untilReleased(until) };
      });
    },
    beginUntroubled() {
      begin(() => undefined);
    },
    async end() {
      // What a caller sent right before it gave up may not have arrived.
      if (isCut) await wait(10);
      const isQuiet = (call: KubernetesCall) =>
        call.cut || call.status !== undefined || call.clusterStatus !== undefined;
      while (!proxy.calls.every(isQuiet)) await wait(1);
      return { calls: proxy.calls.length, faults };
    },
    close: () => proxy.close(),
  };
}

function describeCall({ method, path }: KubernetesCall, namespace: string): string {
  return `${method} ${path.replace(`/api/v1/namespaces/${namespace}/`, '')}`;
}

function actionOf(fault: CallFault): FaultAction {
  switch (fault.kind) {
    case 'delay':
      return { delayMs: fault.ms };
    case 'delay-answer':
      return { delayAnswerMs: fault.ms };
    case 'cut-before':
      return { cut: 'before' };
    case 'cut-after':
      return { cut: 'after' };
    case 'answer': {
      const answer = kubernetesStatus(fault.code, fault.reason, 'a fault of the test');
      return fault.takesEffect ? { rewrite: () => answer } : { answer };
    }
  }
}
