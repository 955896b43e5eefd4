import { parseArgs } from 'node:util';
import { dumpYaml } from '@kubernetes/client-node';
import type { Config } from '../config/index.ts';
import { buildAdmissionPolicies } from './admission-policy.ts';
import { buildClusterRights, buildNamespaceRights, type Subject } from './rbac-manifests.ts';

const usage = `Prints the rights that the provisioner needs in Kubernetes, for kubectl apply -f -

  npm run --silent rbac -- (--user NAME | --group NAME | --service-account [NAMESPACE/]NAME)... [--create-namespace] [--admission-policy]

  --user, --group, --service-account   who gets them; several are possible
  --create-namespace                   for a namespace that is not there yet: the rights hold in every namespace then
  --admission-policy                   also the ValidatingAdmissionPolicies that let them make nothing but sandboxes (Kubernetes
                                       1.30 or newer)

The namespace is K8S_NAMESPACE; a service account without a namespace is one of it. SANDBOX_NETWORK_POLICY asks for the
rights to its NetworkPolicy. SKILLS_HOST_PATH and THREADS_HOST_PATH are the folders that the admission policy allows.`;

/** A usage error. */
class WrongOptions extends Error {}

/** What a command prints, and how it ends. */
export type Output = { exitCode: number; stdout: string; stderr: string };

/**
 * What `npm run rbac` prints for these options, on standard output nothing else. Ends with 2 for wrong options, with 1 for wrong
 * settings, which are read by `readConfig`. Never throws.
 */
export function printRights(args: readonly string[], readConfig: () => Config): Output {
  try {
    return { exitCode: 0, stdout: `${describeRights(args, readConfig)}\n`, stderr: '' };
  } catch (error) {
    const isUsage = error instanceof WrongOptions;
    const stderr = isUsage ? `${error.message}\n\n${usage}\n` : `${(error as Error).message}\n`;
    return { exitCode: isUsage ? 2 : 1, stdout: '', stderr };
  }
}

function describeRights(args: readonly string[], readConfig: () => Config): string {
  const options = readOptions(args);
  if (options.help) return usage;
  const config = readConfig();
  const subjects = readSubjects(options, config);
  const inEveryNamespace = options['create-namespace'] === true;
  const objects = [
    ...(inEveryNamespace ? buildClusterRights(config, subjects) : buildNamespaceRights(config, subjects)),
    ...(options['admission-policy'] ? buildAdmissionPolicies(config, subjects, { inEveryNamespace }) : []),
  ];
  return [describeScope(config, options), ...objects.map((object) => dumpYaml(object).trimEnd())].join('\n---\n');
}

type Options = ReturnType<typeof readOptions>;

function readOptions(args: readonly string[]) {
  const many = { type: 'string', multiple: true } as const;
  try {
    return parseArgs({
      args: [...args],
      options: {
        user: many,
        group: many,
        'service-account': many,
        'create-namespace': { type: 'boolean' },
        'admission-policy': { type: 'boolean' },
        help: { type: 'boolean' },
      },
    }).values;
  } catch (error) {
    throw new WrongOptions((error as Error).message);
  }
}

function readSubjects(options: Options, { namespace }: Config): Subject[] {
  const subjects: Subject[] = [
    ...(options.user ?? []).map((name): Subject => ({ kind: 'User', name })),
    ...(options.group ?? []).map((name): Subject => ({ kind: 'Group', name })),
    ...(options['service-account'] ?? []).map((text): Subject => readServiceAccount(text, namespace)),
  ];
  if (subjects.length === 0) throw new WrongOptions('Who is to have the rights? There is no user, group or account.');
  if (subjects.some(({ name }) => name.trim() === '')) throw new WrongOptions('A name must not be empty.');
  return subjects;
}

function readServiceAccount(text: string, ownNamespace: string): Subject {
  const [namespace, name, ...more] = text.includes('/') ? text.split('/') : [ownNamespace, text];
  const isName = (part = '') => /^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/.test(part);
  if (more.length > 0 || !isName(namespace) || !isName(name)) {
    throw new WrongOptions(`--service-account must be NAME or NAMESPACE/NAME, not '${text}'.`);
  }
  return { kind: 'ServiceAccount', name: name as string, namespace: namespace as string };
}

function describeScope({ namespace, networkPolicy }: Config, options: Options): string {
  return options['create-namespace']
    ? `# To create namespace ${namespace} and its sandboxes: holds in EVERY namespace. Where you can, make the namespace yourself.`
    : `# For the sandboxes of namespace ${namespace}, which must be there; network policy: ${networkPolicy ?? 'none'}.`;
}
