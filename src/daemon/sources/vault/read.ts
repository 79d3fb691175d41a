import type { Clock } from '../../../core/clock.ts'
import type { SecretBytes } from '../../../core/secret-bytes.ts'
import { objectIn } from './answer.ts'
import type { Calls } from './caller.ts'
import { membersOf, textOf } from './json-value.ts'
import { Mounts, type AskMount } from './mounts.ts'
import { readSecret, type VaultSecret } from './read-answer.ts'
import { planRead, type ReadPlan } from './read-plan.ts'
import { readRefusal } from './read-refusal.ts'
import { refusalOf, type Asked } from './refusal.ts'
import { checkRef, encodePath, type SecretRef } from './secret-ref.ts'
import type { VaultSettings } from './settings.ts'
import type { Session, VaultApi } from './vault-api.ts'
import { VaultError } from './vault-error.ts'

export interface ReaderOptions {
  readonly caller: Calls
  readonly settings: VaultSettings
  readonly clock: Clock
  readonly digestKey: Buffer
}

/** Throws as VaultApi's do. */
export function createReader(options: ReaderOptions): Pick<VaultApi, 'read' | 'mayLease'> {
  const { caller, settings } = options
  // A session is known by its token; what it learnt goes with it.
  const learnt = new WeakMap<SecretBytes, Mounts>()
  const mountsOf = (session: Session): Mounts => {
    const known = learnt.get(session.token)
    if (known !== undefined) return known
    const mounts = new Mounts(askMount(caller, settings, session))
    learnt.set(session.token, mounts)
    return mounts
  }
  const mayLease = async (session: Session, { secret }: SecretRef, signal: AbortSignal) => {
    checkRef({ secret })
    const { engine } = planRead({ secret }, await mountsOf(session).find(secret, signal))
    return engine !== 'kv1' && engine !== 'kv2'
  }
  const read = async (
    session: Session,
    ref: SecretRef,
    signal: AbortSignal,
  ): Promise<VaultSecret> => {
    checkRef(ref)
    const mounts = mountsOf(session)
    const plan = planRead(ref, await mounts.find(ref.secret, signal))
    try {
      return await readOnce(options, session, ref, plan, signal)
    } catch (thrown) {
      const isMisplaced =
        thrown instanceof VaultError && (thrown.status === 404 || thrown.status === 403)
      if (isMisplaced) mounts.forget(ref.secret)
      throw thrown
    }
  }
  return { read, mayLease }
}

function readOnce(
  { caller, settings, clock, digestKey }: ReaderOptions,
  session: Session,
  ref: SecretRef,
  plan: ReadPlan,
  signal: AbortSignal,
): Promise<VaultSecret> {
  const { engine, isVersioned, path, target, body } = plan
  const isIssue = body !== undefined
  const asked: Asked = {
    source: settings.name,
    path,
    capability: isIssue ? 'update' : 'read',
    role: session.role,
  }
  const isPinned = ref.version !== undefined
  return caller.run(
    {
      operation: isIssue ? 'issue' : 'read',
      method: isIssue ? 'POST' : 'GET',
      path: target,
      token: session.token,
      role: session.role,
      ...(isIssue ? { body } : {}),
      // Elsewhere, each read may make a user or a certificate.
      isRepeatable: engine === 'kv1' || engine === 'kv2',
      decode: (answer) =>
        readSecret(answer, { engine, isVersioned, path, isPinned, nowMs: clock.now(), digestKey }),
      refuse: (refused, answer) => readRefusal(refused, answer, ref, plan, asked),
    },
    signal,
  )
}

/**
 * Asks what `vault kv get` asks: which engine lies at a path. It needs no policy of its own, only some
 * right to something in that engine; 403 says that there is none, or no engine.
 */
function askMount(caller: Calls, settings: VaultSettings, { token, role }: Session): AskMount {
  return async (path, signal) => {
    const asked: Asked = { source: settings.name, path, capability: 'read', role }
    try {
      return await caller.run(
        {
          operation: 'mounts',
          method: 'GET',
          path: `sys/internal/ui/mounts/${encodePath(path)}`,
          token,
          role,
          isRepeatable: true,
          decode: (answer) => {
            const { text } = answer
            const data = objectIn(answer, 'data')
            const version = membersOf(text, data.get('options')).get('version')
            return {
              path: textOf(text, data.get('path')) ?? '',
              type: textOf(text, data.get('type')) ?? '',
              version: textOf(text, version),
            }
          },
          refuse: (refused) => refusalOf(refused, asked),
        },
        signal,
      )
    } catch (thrown) {
      const isHidden =
        thrown instanceof VaultError &&
        thrown.trouble === undefined &&
        [400, 403, 404, 405].includes(thrown.status ?? 0)
      if (isHidden) return undefined
      throw thrown
    }
  }
}
