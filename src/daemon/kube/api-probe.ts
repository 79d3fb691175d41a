import { LatchkeyError } from '../../core/errors.ts'
import { cleaned } from '../../core/foreign-text.ts'
import { collectBody } from './response-body.ts'
import type { Transport } from './transport.ts'

/** What the API server says of itself to anybody. */
export interface ApiServerFacts {
  /** Such as v1.35.1; '' where it does not say. */
  readonly version: string
  /** Its clock, to the second; undefined where it does not say. */
  readonly clockMs: number | undefined
}

export type ProbeApiServer = (signal: AbortSignal) => Promise<ApiServerFacts>

const MAX_BODY_BYTES = 64 * 1024
const MAX_VERSION_CHARS = 64

/**
 * Asks for /version, which every cluster shows to everybody (ClusterRole system:public-info-viewer); one
 * that does not has still said that it is there, and what time it is.
 *
 * The function throws: KubeUnavailable · Timeout · ShuttingDown · the signal's reason.
 */
export function createApiProbe(transport: Transport): ProbeApiServer {
  return async (signal) => {
    const headers = { accept: 'application/json' }
    const request = { method: 'GET', path: '/version', headers } as const
    const { status, date, body } = await transport.send('daemon', request, signal)
    const text = (await collectBody(body, MAX_BODY_BYTES, signal)).toString()
    if (status >= 500 || status === 429) {
      throw new LatchkeyError('KubeUnavailable', `the API server answered ${status}`)
    }
    const clockMs = Date.parse(date)
    return {
      version: status === 200 ? versionIn(text) : '',
      clockMs: Number.isNaN(clockMs) ? undefined : clockMs,
    }
  }
}

function versionIn(text: string): string {
  try {
    const answer: unknown = JSON.parse(text)
    if (typeof answer !== 'object' || answer === null || !('gitVersion' in answer)) return ''
    const { gitVersion } = answer
    return typeof gitVersion === 'string' ? cleaned(gitVersion, MAX_VERSION_CHARS, []) : ''
  } catch {
    return ''
  }
}
