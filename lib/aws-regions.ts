/** What AWS' regions look like. One goes into a host name, so nothing else may. */
const regionPattern = /^[a-z]{2,5}(-[a-z]{2,12})+-\d{1,2}$/;

/** The domains of AWS' partitions, by how the names of their regions begin; the last one is that of all others. */
const domains: [RegExp, string][] = [
  [/^cn-/, 'amazonaws.com.cn'],
  [/^us-iso-/, 'c2s.ic.gov'],
  [/^us-isob-/, 'sc2s.sgov.gov'],
  [/^us-isof-/, 'csp.hci.ic.gov'],
  [/^eu-isoe-/, 'cloud.adc-e.uk'],
  [/^eusc-/, 'amazonaws.eu'],
  [/^/, 'amazonaws.com'],
];

/** Whether this can be the name of a region of AWS. */
export const isRegion = (text: string): boolean => regionPattern.test(text);

/** The host of a service of AWS in a region, `sts.eu-central-1.amazonaws.com`. */
export const hostOf = (service: string, region: string): string =>
  `${service}.${region}.${domains.find(([beginning]) => beginning.test(region))?.[1]}`;
