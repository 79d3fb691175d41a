import test from 'ava'
import type { VaultHealth } from '../../src/daemon/sources/vault/health.ts'
import { seenOf } from '../../src/daemon/vault-probe.ts'

const seen = (state: VaultHealth['state'], version?: string) => seenOf({ state, version })

test('a Vault that serves pods is well, whichever of its servers answers', (t) => {
  t.deepEqual(seen('active', '1.21.0'), {
    grade: 'GRADE_OK',
    detail: 'active, version 1.21.0',
    fix: '',
  })
  for (const state of ['standby', 'performance-standby'] as const) {
    t.like(seen(state), { grade: 'GRADE_OK' }, state)
  }
  t.is(seen('active').detail, 'active')
})

test('a Vault that serves no pod has failed, with what to do about it', (t) => {
  for (const state of [
    'sealed',
    'not-initialized',
    'recovery-secondary',
    'leaderless-standby',
    'removed',
  ] as const) {
    const { grade, fix } = seen(state)
    t.is(grade, 'GRADE_FAILED', state)
    t.not(fix, '', state)
  }
})

test('a Vault that hides its health may be well, which is said', (t) => {
  t.like(seen('hidden'), { grade: 'GRADE_WARNING' })
})
