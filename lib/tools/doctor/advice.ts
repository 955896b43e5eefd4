import type { Advice } from './finding.ts';

const credentials = 'docs/own-cluster.md#the-clusters-credentials';
const kubeconfig = 'docs/troubleshooting.md#the-kubeconfig-and-its-credentials';
const kubernetes = 'docs/troubleshooting.md#why-kubernetes-did-not-do-it';
const secrets = 'docs/troubleshooting.md#keys-and-secrets';

/** What to do about an error of the provisioner's, by its words. The first that fits counts. */
const advices: readonly [words: RegExp, advice: string, page: string][] = [
  [
    /^No kubeconfig at /,
    'Set KUBECONFIG_PATH to the kubeconfig of your cluster; in a container, mount it there. Without a cluster, run npm start: it brings its own.',
    credentials,
  ],
  [
    /is a directory/,
    'Docker makes a folder where a file is to be mounted that is not there: remove the folder, and mount the file.',
    kubeconfig,
  ],
  [/no list of files/, 'Merge the files: kubectl config view --raw --flatten', kubeconfig],
  [/^(Cannot read|Failed to load) .*EACCES/, 'Give the user that runs this the right to read it.', kubeconfig],
  [/^Failed to load /, 'Mend what is no YAML there, or have the kubeconfig written anew by what made it.', kubeconfig],
  [/has no current-context|has no context/, 'Set KUBECONFIG_CONTEXT to one that it has.', kubeconfig],
  [
    /credentials of the kubeconfig cannot be had \(/,
    'Put the file there that the kubeconfig names; or have it all in one: kubectl config view --raw --flatten',
    kubeconfig,
  ],
  [
    /^the plug-in /,
    'Run it by hand: what it complains of is not shown here. If it is missing, install it.',
    kubeconfig,
  ],
  [
    /^No kubeconfig from (KUBECONFIG_SECRET_ID|KUBECONFIG_PARAMETER)/,
    'Only Lambda reads these. Here, set KUBECONFIG_CONTENT to what the secret or the parameter holds.',
    secrets,
  ],
  [/^No token for the EKS cluster/, 'Set what the text names, as Lambda does.', credentials],
  [
    /(CA|client certificate|key) of the (kubeconfig|client certificate)|in the kubeconfig cannot be read/,
    'Have the kubeconfig written anew.',
    kubeconfig,
  ],
  [/^The (kubeconfig|cluster|user|context) /, 'Mend that entry of the kubeconfig.', kubeconfig],
  [/client certificate expired/, 'Renew the client certificate: have the kubeconfig written anew.', credentials],
  [
    /401 Unauthorized|our client certificate/,
    'Renew the kubeconfig: its token or certificate is not, or no longer, good for this cluster. On EKS, look at the access entry.',
    credentials,
  ],
  [
    /certificate of the API server has expired|is not valid yet/,
    'Renew the certificate of the API server. Look at the clocks of both machines.',
    kubernetes,
  ],
  [
    /is for another host name/,
    'Use an address that is in the certificate. Where this is another way to the same server, put it into K8S_API_SERVER.',
    kubernetes,
  ],
  [
    /is not signed by|is not trusted/,
    'Take the CA of this very cluster for the kubeconfig; or find out what sits between.',
    kubernetes,
  ],
  [
    /^TLS could not be agreed on/,
    'Does the API server speak TLS at this address? Look at http:// and https:// in the kubeconfig, and at the port.',
    kubernetes,
  ],
  [
    /ENOTFOUND|EAI_AGAIN/,
    "Look at the name in the kubeconfig (or K8S_API_SERVER), and at this machine's DNS.",
    kubernetes,
  ],
  [/ECONNREFUSED/, 'Nothing listens there: is the API server running, and is the port right?', kubernetes],
  [
    /ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|in time/,
    'Nobody answers: look for a firewall, a VPN or a VPC without a way to the API server.',
    kubernetes,
  ],
  [/proxy/, 'Look at the proxy-url of the kubeconfig, and at the proxy.', kubernetes],
  [
    /not the Kubernetes API/,
    'Something else answers at this address: a proxy, a login page, or a wrong path in the kubeconfig.',
    kubernetes,
  ],
  [/403 Forbidden/, 'Have somebody apply what npm run rbac prints.', 'docs/own-cluster.md#the-rights-it-needs'],
  [/exceeded quota/, 'Raise the quota, or let sandboxes end sooner.', kubernetes],
  [
    /admission/,
    'Change the rule that refuses, or the setting that it does not like. It is no matter of rights.',
    kubernetes,
  ],
];

/** What to do about an error with this message: never nothing. */
export function advise(message: string): Advice {
  const [, advice, page] = advices.find(([words]) => words.test(message)) ?? [
    '',
    'Look for these words in the page.',
    'docs/troubleshooting.md',
  ];
  return { advice, page };
}
