import { LatchkeyError } from '../../../core/errors.ts'
import type { Mount } from './mounts.ts'
import { argsBody, encodePath, type SecretRef } from './secret-ref.ts'

/** `hidden`: the session may not know what it reads from; the answer's shape has to tell. */
export type Engine = 'kv1' | 'kv2' | 'other' | 'hidden'

/** How a secret is asked for. */
export interface ReadPlan {
  readonly engine: Engine
  /** Whether the answer is one version of a secret, with what is known of it; undefined: see what comes. */
  readonly isVersioned: boolean | undefined
  /** As policies name it. */
  readonly path: string
  /** As it goes into the request line. */
  readonly target: string
  readonly body: Buffer | undefined
}

/** What a KV version 2 engine has beside the secrets themselves. */
const KV2_PREFIXES: ReadonlySet<string> = new Set(['data', 'metadata', 'subkeys'])
const KEEPERS: ReadonlySet<string> = new Set(['kv', 'generic', 'cubbyhole'])

/** Throws: InvalidRequest where `version` or `args` mean nothing to the engine, or it is named itself. */
export function planRead(ref: SecretRef, mount: Mount | undefined): ReadPlan {
  const engine = engineOf(mount)
  if (engine !== 'hidden' && `${ref.secret}/` === mount?.path) {
    throw new LatchkeyError(
      'InvalidRequest',
      `"${ref.secret}" is a whole engine: name one secret in it, as ${ref.secret}/NAME`,
    )
  }
  const path = engine === 'kv2' ? kv2Path(ref.secret, mount?.path ?? '') : ref.secret
  const isVersioned = versioning(engine, path, mount)
  if (ref.version !== undefined && isVersioned === false) {
    throw new LatchkeyError(
      'InvalidRequest',
      `"${ref.secret}" has no versions: leave version out, only KV version 2 engines keep them`,
    )
  }
  // There, a body is not a question but what to store.
  if (ref.args !== undefined && (engine === 'kv1' || engine === 'kv2')) {
    throw new LatchkeyError(
      'InvalidRequest',
      `"${ref.secret}" lies in a KV engine, to which args would be written: leave args out`,
    )
  }
  const query = ref.version === undefined ? '' : `?version=${ref.version}`
  return {
    engine,
    isVersioned,
    path,
    target: encodePath(path) + query,
    body: ref.args === undefined ? undefined : argsBody(ref.args),
  }
}

function engineOf(mount: Mount | undefined): Engine {
  if (mount === undefined) return 'hidden'
  if (!KEEPERS.has(mount.type)) return 'other'
  return mount.version === '2' ? 'kv2' : 'kv1'
}

// A path that holds the engine's own word already is taken as it is written: that is how policies and
// Vault's answers show it.
function kv2Path(secret: string, mountPath: string): string {
  const rest = secret.slice(mountPath.length)
  const first = rest.split('/', 1)[0] ?? ''
  return KV2_PREFIXES.has(first) && rest !== first ? secret : `${mountPath}data/${rest}`
}

function versioning(engine: Engine, path: string, mount: Mount | undefined): boolean | undefined {
  if (engine === 'kv2') return path.startsWith(`${mount?.path ?? ''}data/`)
  return engine === 'hidden' && path.includes('/data/') ? undefined : false
}
