import { LatchkeyError } from '../../../core/errors.ts'
import type { SecretBytes } from '../../../core/secret-bytes.ts'
import type { Workload } from '../../identity/workload.ts'
import type { Hold, HoldOptions, Login } from '../hold.ts'
import { readAsk } from '../secret-key.ts'
import type { SessionHandle } from './sessions.ts'
import { roleOf } from './settings.ts'
import { ownerOf, tokenOf, type VaultSourceOptions } from './vault-source.ts'

/** A volume's sessions for one role: its part in that of the service account, and its own, for what is leased. */
interface RoleHandles {
  readonly role: string
  readonly shared: SessionHandle
  readonly own: SessionHandle
}

/**
 * A volume's part in the sessions at one Vault, by the roles that its items log in with. Sessions of its own are
 * opened only where something that it names may come with a lease: so they can be ended, and with them whatever is
 * leased under them, without a word to any other volume.
 */
export function holdAt(
  options: VaultSourceOptions,
  workload: Workload,
  asks: readonly string[],
  hold: HoldOptions,
): Hold {
  const { clock } = options
  const api = options.api.forTenant(workload.pod.namespace)
  const { settings } = api
  const roleFor = (ask: string): string => roleOf(settings, readAsk(ask).role)
  const roles = new Set([...asks.map(roleFor), ...hold.resume.map(({ role }) => role)])
  const byRole = new Map(
    [...roles].map((role) => [role, handlesFor(options, workload, role, hold)] as const),
  )
  const leasable = new Set<string>()
  const all = [...byRole.values()].flatMap(({ shared, own }) => [shared, own])
  const handlesOf = (ask: string): RoleHandles => {
    const handles = byRole.get(roleFor(ask))
    if (handles === undefined) {
      throw new LatchkeyError('Internal', 'a secret that the volume did not name')
    }
    return handles
  }
  // What an older daemon leased hangs on the shared one; any session may prolong and end it.
  const leasing = (ask: string): SessionHandle => {
    const { own, shared } = handlesOf(ask)
    return own.isOpen() ? own : shared
  }
  const offer = (newer: Workload): void => {
    if (!newer.tokens.has(settings.auth.audience)) return
    for (const handle of all) handle.offer(tokenOf(newer, settings))
  }
  offer(workload)
  return {
    offer,

    async open(signal) {
      tokenOf(workload, settings)
      // One after the other: a volume names hundreds of paths, and each may cost a call.
      for (const ask of asks) {
        const { shared, own } = handlesOf(ask)
        const ref = { secret: readAsk(ask).secret }
        const mayLease = await shared.use(signal, (session) => api.mayLease(session, ref, signal))
        if (!mayLease) continue
        leasable.add(ask)
        await own.use(signal, () => Promise.resolve())
      }
    },

    mayLease: (ask) => leasable.has(ask),

    async prolong(ask, { id }, lifeMs, signal) {
      return leasing(ask).use(signal, async (session) => {
        const askedAtMs = clock.now()
        const { durationMs, renewable } = await api.renewLease(session, id, lifeMs, signal)
        return { endsAtMs: askedAtMs + durationMs, isRenewable: renewable }
      })
    },

    async giveBack(ask, { id }, signal) {
      const handle = leasing(ask)
      try {
        await handle.use(signal, (session) => api.revokeLease(session, id, signal))
      } catch (thrown) {
        // It may lack the right to end leases one by one; the end of the volume's own session takes them all.
        const isDenied = LatchkeyError.from(thrown).reason === 'AccessDenied'
        if (!isDenied || handle !== handlesOf(ask).own) throw thrown
      }
    },

    doubt(ask, isShown) {
      handlesOf(ask).own.doubt(isShown)
    },

    settle() {
      for (const { own } of byRole.values()) own.settle()
    },

    logins: () => [...byRole.values()].flatMap((handles) => loginsOf(settings.name, handles)),

    drop() {
      for (const handle of all) handle.drop()
    },

    async release() {
      const farewells = await Promise.all(all.map((handle) => handle.release()))
      return farewells.every((farewell) => farewell === 'shared' || farewell === 'ended')
    },
  }
}

function handlesFor(
  { api, sessions }: VaultSourceOptions,
  workload: Workload,
  role: string,
  { holder, resume, isShown, onReplaced }: HoldOptions,
): RoleHandles {
  const { settings } = api
  const tokens = (isFitting: (login: Login) => boolean): readonly SecretBytes[] =>
    resume.filter((login) => login.role === role && isFitting(login)).map(({ token }) => token)
  const owner = ownerOf(workload, settings, role)
  const [ofAccount] = tokens(({ isOwn }) => !isOwn)
  const [ofVolume] = tokens(({ isOwn, isDoubted }) => isOwn && !isDoubted)
  return {
    role,
    shared: sessions.acquire({ ...owner, holder: undefined }, { resume: ofAccount }),
    own: sessions.acquire(
      { ...owner, holder },
      {
        resume: ofVolume,
        doubted: tokens(({ isOwn, isDoubted }) => isOwn && isDoubted),
        isShown,
        onReplaced: (previousEndsAtMs) => {
          onReplaced(role, previousEndsAtMs)
        },
      },
    ),
  }
}

function loginsOf(source: string, { role, shared, own }: RoleHandles): readonly Login[] {
  const login = (token: SecretBytes, isOwn: boolean, isDoubted: boolean): Login => {
    return { source, role, token, isOwn, isDoubted }
  }
  const [ofAccount, ofVolume] = [shared.bookmark(), own.bookmark()]
  return [
    ...(ofAccount === undefined ? [] : [login(ofAccount, false, false)]),
    ...(ofVolume === undefined ? [] : [login(ofVolume, true, false)]),
    ...own.doubted().map((token) => login(token, true, true)),
  ]
}
