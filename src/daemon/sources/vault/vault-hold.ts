import type { Hold, HoldOptions } from '../hold.ts'
import { readAsk } from '../secret-key.ts'
import type { Workload } from '../../identity/workload.ts'
import type { SessionHandle } from './sessions.ts'
import { roleOf } from './settings.ts'
import { ownerOf, tokenOf, type VaultSourceOptions } from './vault-source.ts'

/** A volume's part in the sessions of its service account: one for each role that its items log in with. */
export function holdAt(
  { api, sessions, clock }: VaultSourceOptions,
  workload: Workload,
  asks: readonly string[],
  { resume, onReplaced }: HoldOptions,
): Hold {
  const { settings } = api
  const { name } = settings
  const roleFor = (ask: string): string => roleOf(settings, readAsk(ask).role)
  const roles = new Set([...asks.map(roleFor), ...resume.map(({ role }) => role)])
  const handles = new Map<string, SessionHandle>()
  for (const role of roles) {
    const handle = sessions.acquire(ownerOf(workload, settings, role), {
      resume: resume.find((login) => login.role === role)?.token,
      onReplaced: ({ previousEndsAtMs }) => {
        onReplaced(role, previousEndsAtMs)
      },
    })
    handles.set(role, handle)
  }
  const handleFor = (ask: string): SessionHandle => {
    const handle = handles.get(roleFor(ask))
    if (handle === undefined) throw new Error('a secret that the volume did not name')
    return handle
  }
  const offer = (newer: Workload): void => {
    if (!newer.tokens.has(settings.auth.audience)) return
    for (const handle of handles.values()) handle.offer(tokenOf(newer, settings))
  }
  offer(workload)
  return {
    offer,

    async open(signal) {
      tokenOf(workload, settings)
      await Promise.all(
        handles.values().map((handle) => handle.use(signal, () => Promise.resolve())),
      )
    },

    async prolong(ask, { id }, lifeMs, signal) {
      return handleFor(ask).use(signal, async (session) => {
        const askedAtMs = clock.now()
        const { durationMs, renewable } = await api.renewLease(session, id, lifeMs, signal)
        return { endsAtMs: askedAtMs + durationMs, isRenewable: renewable }
      })
    },

    async giveBack(ask, { id }, signal) {
      await handleFor(ask).use(signal, (session) => api.revokeLease(session, id, signal))
    },

    logins: () =>
      [...handles].flatMap(([role, handle]) => {
        const token = handle.bookmark()
        return token === undefined ? [] : [{ source: name, role, token }]
      }),

    drop() {
      for (const handle of handles.values()) handle.drop()
    },

    async release() {
      const farewells = await Promise.all(handles.values().map((handle) => handle.release()))
      return farewells.every((farewell) => farewell === 'shared' || farewell === 'ended')
    },
  }
}
