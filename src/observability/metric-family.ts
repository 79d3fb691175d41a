import type { Registry } from 'prom-client'

/** One metric as a reader of the docs meets it. */
export interface MetricFamily {
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram' | 'summary'
  readonly help: string
  readonly labels: readonly string[]
}

/** `error` has its reason in the label beside it. */
export type Outcome = 'ok' | 'error'

/** Every family of a registry, in the order in which they were made. */
export function familiesOf(registry: Registry): readonly MetricFamily[] {
  return registry.getMetricsAsArray().map((metric) => {
    const { name, help, type, labelNames } = metric as unknown as {
      readonly name: string
      readonly help: string
      readonly type: MetricFamily['type']
      readonly labelNames: readonly string[]
    }
    return { name, help, type, labels: labelNames }
  })
}
