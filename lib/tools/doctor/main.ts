import { currentEnvironment } from '../../config/index.ts';
import { log } from '../../log.ts';
import { examine } from './examine.ts';
import type { Finding } from './finding.ts';
import { formatFinding, formatJson, judge, type Options, readOptions, summarize, usage } from './report.ts';

// What `npm run doctor` runs: looks, prints, and ends with the status that the usage names.

const wrongOptions = 64;
/** As a shell has it for SIGINT. */
const interrupted = 130;

const options = readOptions(process.argv.slice(2));
if (typeof options === 'string') {
  console.error(`${options}\n\n${usage}`);
  process.exitCode = wrongOptions;
} else if (options.help) {
  console.log(usage);
} else {
  // Kept connections would keep the process.
  process.exit(await run(options));
}

async function run({ sandbox, json }: Options): Promise<number> {
  // What is wrong is a finding: the log's lines would say the same to others.
  log.setLogLevel('SILENT');
  const ending = new AbortController();
  // A sandbox that was made is removed first. A terminal and npm may both send a signal, so a second one changes nothing.
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => ending.abort());
  const findings: Finding[] = [];
  const tell = (finding: Finding) => {
    findings.push(finding);
    if (!json) console.log(formatFinding(finding));
  };
  await examine({ env: currentEnvironment(), sandbox, tell, signal: ending.signal, now: () => new Date() });
  const isInterrupted = ending.signal.aborted;
  console.log(json ? formatJson(findings, isInterrupted) : summarize(findings, isInterrupted));
  return isInterrupted ? interrupted : judge(findings);
}
