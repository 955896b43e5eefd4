import { startEmbeddedKubernetes } from '../../lib/local/kubernetes/index.ts';
import { answerQuestions } from './helper-process.ts';

// The embedded Kubernetes in a process of its own, so that it takes no time from what is measured. It answers with its kubeconfig.
const embedded = await startEmbeddedKubernetes({ terminationGraceMs: 0 });
answerQuestions(
  async () => embedded.kubeconfig,
  () => embedded.close(),
);
