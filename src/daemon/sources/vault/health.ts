import type { Clock } from '../../../core/clock.ts'
import { withDeadline } from '../../../core/deadline.ts'
import { parseAnswer, type Answer } from './answer.ts'
import { JsonError } from './json-walk.ts'
import { textOf } from './json-value.ts'
import type { VaultSettings } from './settings.ts'
import { VaultTransport, type VaultResponse } from './transport.ts'
import { VaultError } from './vault-error.ts'

/** What a Vault says of itself to anybody. */
export interface VaultHealth {
  /** `hidden`: something answers, and shows its health to nobody. */
  readonly state: ServerState | 'hidden'
  /** Undefined where it is not told. */
  readonly version: string | undefined
}

type ServerState =
  | 'active'
  | 'standby'
  | 'performance-standby'
  | 'leaderless-standby'
  | 'recovery-secondary'
  | 'not-initialized'
  | 'sealed'
  | 'removed'

/** Vault's API documentation, /sys/health: a status for each state. */
const STATES: ReadonlyMap<number, ServerState> = new Map([
  [200, 'active'],
  [429, 'standby'],
  [472, 'recovery-secondary'],
  [473, 'performance-standby'],
  [474, 'leaderless-standby'],
  [501, 'not-initialized'],
  [503, 'sealed'],
  [530, 'removed'],
])
const TIMEOUT_MS = 5_000
const VERSION = /^[\w.+-]{1,40}$/

/**
 * Asks a Vault how it is, over a connection of its own and beside the pace of pods' calls: what is asked for
 * by hand is to be seen as it is now. Nothing of anybody is sent, not even the namespace: the path is the
 * root namespace's alone.
 *
 * Throws: SourceUnavailable, naming the setting where one is to blame · Timeout · the signal's reason.
 */
export async function askHealth(
  settings: VaultSettings,
  clock: Clock,
  signal: AbortSignal,
): Promise<VaultHealth> {
  const transport = new VaultTransport(settings, clock)
  const headers = { 'x-vault-request': 'true' }
  const request = { method: 'GET', path: '/v1/sys/health', headers, isRepeatable: false } as const
  try {
    const what = `a look at the health of Vault "${settings.name}"`
    const response = await withDeadline(clock, TIMEOUT_MS, what, signal, (bounded) =>
      transport.send(request, bounded),
    )
    return healthOf(response, settings.name)
  } finally {
    transport.close()
  }
}

function healthOf({ status, body }: VaultResponse, name: string): VaultHealth {
  const unavailable = (what: string): VaultError =>
    new VaultError('SourceUnavailable', `${what}; mend the source's address`, { status })
  if (status >= 300 && status < 400) {
    throw unavailable(`Vault "${name}" answered with a redirect (${status}), which is not followed`)
  }
  const state = STATES.get(status)
  const answer = parsed(body)
  // Proxies have these codes as well: only a Vault says whether it is sealed.
  if (state !== undefined && answer?.members.has('sealed') === true) {
    return { state, version: versionOf(answer) }
  }
  if (status >= 400 && status < 500) return { state: 'hidden', version: undefined }
  throw unavailable(`what answered (${status}) is no Vault "${name}"`)
}

function parsed(body: Buffer): Answer | undefined {
  try {
    return parseAnswer(body)
  } catch (thrown) {
    if (thrown instanceof JsonError) return undefined
    throw thrown
  }
}

function versionOf({ text, members }: Answer): string | undefined {
  const version = textOf(text, members.get('version')) ?? ''
  return VERSION.test(version) ? version : undefined
}
