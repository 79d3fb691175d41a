import type { Workload } from '../../../src/daemon/identity/workload.ts'
import type { Source, Value } from '../../../src/daemon/sources/source.ts'

/** One fetch that the source was asked for, answered when the test says so. */
export interface Asked {
  readonly workload: Workload
  readonly secret: string
  readonly signal: AbortSignal
  readonly answer: (value: Value) => void
  readonly fail: (error: unknown) => void
}

/** A source whose every answer a test gives by hand. */
export class ScriptedSource implements Source {
  readonly name: string
  readonly audience = ''
  readonly asked: Asked[] = []
  /** Whether a fetch ends when it is given up; a source may be deaf to that. */
  isDeaf = false

  constructor(name = 'kubernetes') {
    this.name = name
  }

  fetch(workload: Workload, secret: string, signal: AbortSignal): Promise<Value> {
    const { promise, resolve, reject } = Promise.withResolvers<Value>()
    this.asked.push({ workload, secret, signal, answer: resolve, fail: reject })
    if (!this.isDeaf) {
      signal.addEventListener('abort', () => {
        reject(signal.reason as Error)
      })
    }
    return promise
  }

  /** The newest fetch for a secret. Throws where there was none. */
  last(secret?: string): Asked {
    const found = this.asked.findLast((one) => secret === undefined || one.secret === secret)
    if (found === undefined) throw new Error(`nobody has asked for ${secret ?? 'anything'}`)
    return found
  }
}
