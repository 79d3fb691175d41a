import type { Clock } from '../../core/clock.ts'
import { LatchkeyError } from '../../core/errors.ts'
import { failed, type Finding } from '../../wire/finding.ts'

/** A source outside of the cluster, as the configuration has it. */
export interface ProbedSource {
  readonly name: string
  readonly kind: string
  readonly address: string
  /** Asks it how it is, sending nothing secret. Throws: LatchkeyErrors whose message says why it was not reached. */
  readonly probe: (signal: AbortSignal) => Promise<Seen>
}

/** How a source said it was. */
export type Seen = Pick<Finding, 'grade' | 'detail' | 'fix'>

const UNREACHED =
  'look for what lies between this node and it (its name, its certificate, network policies); running pods keep their files meanwhile'

/** A finding for each source, in the order of the configuration. Throws: the signal's reason. */
export function judgeSources(
  sources: readonly ProbedSource[],
  clock: Clock,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  return Promise.all(sources.map((source) => judgeSource(source, clock, signal)))
}

async function judgeSource(
  { name, kind, address, probe }: ProbedSource,
  clock: Clock,
  signal: AbortSignal,
): Promise<Finding> {
  const check = `source ${name} answers`
  const where = `${kind} at ${address}`
  const askedMs = clock.now()
  try {
    const { detail, ...seen } = await probe(signal)
    const tookMs = Math.round(clock.now() - askedMs)
    return { check, ...seen, detail: `${where}: ${detail}, in ${tookMs} ms` }
  } catch (thrown) {
    signal.throwIfAborted()
    return failed(check, `${where}: ${LatchkeyError.from(thrown).message}`, UNREACHED)
  }
}
