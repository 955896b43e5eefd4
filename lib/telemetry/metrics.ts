import { Metrics } from '@aws-lambda-powertools/metrics';
import { currentMetricsConfig } from '../config/index.ts';
import { type Figures, type MetricName, metrics } from './figures.ts';

let taker: ((figures: readonly Figures[]) => void) | undefined;

/** Has all figures of this process taken this way from here on, and not written into the log. */
export function takeFigures(take: (figures: readonly Figures[]) => void): void {
  taker = take;
}

/** Whether anybody wants figures. */
export const areMetricsOn = (): boolean => taker !== undefined || currentMetricsConfig().metrics === 'emf';

/** Hands figures to who takes them, or writes them for CloudWatch: to be asked first is `areMetricsOn`. */
export function publish(figures: readonly Figures[]): void {
  if (taker !== undefined) taker(figures);
  else for (const some of figures) writeEmf(some);
}

let made: Metrics | undefined;

/** One line in CloudWatch's Embedded Metric Format: all of a line's metrics have the same dimensions. */
function writeEmf({ dimension, isSummed, values }: Figures): void {
  made ??= new Metrics({ namespace: currentMetricsConfig().metricsNamespace, serviceName: 'sandbox-provisioner' });
  if (isSummed || dimension === undefined) made.addDimensions({});
  if (dimension !== undefined) made.addDimensions({ ...dimension });
  for (const [name, value] of Object.entries(values)) {
    made.addMetric(name, metrics[name as MetricName].unit, value);
  }
  made.publishStoredMetrics();
}
