import type { Seen } from './diagnose/sources.ts'
import type { VaultHealth } from './sources/vault/health.ts'

type State = VaultHealth['state']

const UNSEAL = 'unseal it; running pods keep their files meanwhile, and Latchkey goes on by itself'
const ANOTHER = "let the source's address name a server that serves, or a load balancer of such"

/** What a state means to pods. */
const STATES: Readonly<Record<State, Seen>> = {
  active: { grade: 'GRADE_OK', detail: 'active', fix: '' },
  standby: {
    grade: 'GRADE_OK',
    detail: 'a standby, which hands calls on to the active server',
    fix: '',
  },
  'performance-standby': { grade: 'GRADE_OK', detail: 'a performance standby', fix: '' },
  hidden: {
    grade: 'GRADE_WARNING',
    detail: 'something answers, and shows its health to nobody',
    fix: `if this is not meant so, ${ANOTHER}`,
  },
  'leaderless-standby': {
    grade: 'GRADE_FAILED',
    detail: 'a standby that reaches no active server',
    fix: `look at the servers of its cluster, or ${ANOTHER}`,
  },
  'recovery-secondary': {
    grade: 'GRADE_FAILED',
    detail: 'a secondary for disaster recovery, which serves nobody',
    fix: ANOTHER,
  },
  'not-initialized': {
    grade: 'GRADE_FAILED',
    detail: 'not initialized',
    fix: 'initialize it: vault operator init',
  },
  sealed: { grade: 'GRADE_FAILED', detail: 'sealed', fix: UNSEAL },
  removed: {
    grade: 'GRADE_FAILED',
    detail: 'a server that was removed from its cluster',
    fix: ANOTHER,
  },
}

/** The health of a Vault in the words of a diagnosis. */
export function seenOf({ state, version }: VaultHealth): Seen {
  const seen = STATES[state]
  return version === undefined ? seen : { ...seen, detail: `${seen.detail}, version ${version}` }
}
