import { LatchkeyError } from '../../src/core/errors.ts'
import type { Chance } from '../soak/chance.ts'
import type { Lane } from './lane.ts'

export interface Finding {
  readonly kind: 'crash' | 'grant'
  readonly lane: string
  readonly why: string
  readonly input: Buffer
}

/** Of the processor's time, for what runs in one go and so keeps everybody else waiting. */
const MAX_CPU_MS = 2_000
const MAX_WAIT_MS = 30_000

/** Feeds a lane one input. A finding, or whether it was taken or refused, as it should be. */
export async function judge(
  lane: Lane,
  input: Buffer,
  chance: Chance,
): Promise<Finding | 'accepted' | 'refused'> {
  const found = (kind: Finding['kind'], why: string): Finding => ({
    kind,
    lane: lane.name,
    why,
    input,
  })
  const began = process.cpuUsage()
  let end: 'accepted' | 'refused' = 'refused'
  try {
    // A copy: some of what is fed is zeroed by who gets it.
    const feeding = lane.feed(Buffer.from(input), chance)
    const verdict = feeding instanceof Promise ? await inTime(feeding) : feeding
    if (typeof verdict === 'object') return found('grant', verdict.grant)
    end = verdict
  } catch (thrown) {
    const why = crashOf(thrown)
    if (why !== undefined) return found('crash', why)
  }
  const { user } = process.cpuUsage(began)
  if (user > MAX_CPU_MS * 1000) return found('crash', `took ${Math.round(user / 1000)} ms`)
  return isPolluted() ? found('crash', 'a prototype was polluted') : end
}

/** Undefined where it is a refusal as it should be. */
export function crashOf(thrown: unknown): string | undefined {
  if (!(thrown instanceof LatchkeyError))
    return thrown instanceof Error ? thrown.stack : String(thrown)
  if (thrown.reason !== 'Internal') return undefined
  const { cause } = thrown
  return `Internal: ${thrown.message}: ${cause instanceof Error ? String(cause.stack) : String(cause)}`
}

function inTime<T>(feeding: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new Error(`no end within ${MAX_WAIT_MS / 1000} s`))
    }, MAX_WAIT_MS)
    feeding.then(resolve, reject).finally(() => {
      clearTimeout(timer)
    })
  })
}

const PROTOTYPES = [
  Object.prototype,
  Array.prototype,
  Function.prototype,
  String.prototype,
  Map.prototype,
]
const CLEAN = PROTOTYPES.map((one) => Reflect.ownKeys(one).length)

function isPolluted(): boolean {
  // Named ones show in every object; the others are counted, which is dearer.
  for (const _name in {}) return true
  return PROTOTYPES.some((one, i) => Reflect.ownKeys(one).length !== CLEAN[i])
}
