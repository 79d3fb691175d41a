import { mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import type { ExecutionContext } from 'ava'

import { LatchkeyError } from '../../../src/core/errors.ts'
import { volumeIdOf } from '../../../src/core/volume-id.ts'
import type { Pod as NamedPod } from '../../../src/core/types.ts'
import { createMountClient } from '../../../src/wire/mount-client.ts'
import type { ClusterNode } from '../cluster/cluster.ts'
import type { Pod } from './kube-objects.ts'
import { latchkeyPod } from './latchkey.ts'
import type { Place } from './support.ts'

const PATIENCE_MS = 30_000
const VOLUME = 'db'

/** Who asks, as kubelet would put it; each word may be wrong. */
export interface Caller extends NamedPod {
  readonly targetPath: string
  readonly volumeId: string
}

/** The caller that kubelet would speak for, truthfully. */
export function callerOf({ namespace }: Place, { metadata }: Pod, serviceAccount: string): Caller {
  const { name, uid } = metadata
  return { namespace, name, uid, serviceAccount, ...volumeOf(uid) }
}

/** Where kubelet would have a pod's volume, and how it would call it. */
export function volumeOf(uid: string): Pick<Caller, 'targetPath' | 'volumeId'> {
  const targetPath = `/var/lib/kubelet/pods/${uid}/volumes/kubernetes.io~csi/${VOLUME}/mount`
  return { targetPath, volumeId: volumeIdOf(uid, VOLUME) }
}

export interface Outcome {
  /** `served`, or why not. */
  readonly said: string
  readonly files: Readonly<Record<string, string>>
}

/** What a caller brings: each token under the audience that it is said to be for. */
export type Tokens = Readonly<Record<string, string>>

/** Asks the daemon of the node. */
export type Ask = (caller: Caller, tokens: Tokens) => Promise<Outcome>

/** Speaks to the running daemon's own socket, as root of the node, in the place of the host side. */
export async function openRealShim(t: ExecutionContext, node: ClusterNode): Promise<Ask> {
  const { metadata } = await latchkeyPod()
  const run = `pods/${metadata.uid}/volumes/kubernetes.io~empty-dir/run`
  const folder = mkdtempSync(join(tmpdir(), 'lk-'))
  // Its true path is too long for the address of a socket.
  symlinkSync(join(node.kubeletRoot, run), join(folder, 'run'))
  const client = createMountClient(join(folder, 'run/mount/mount.sock'))
  t.teardown(() => {
    client.close()
    rmSync(folder, { recursive: true })
  })
  return async (caller, brought) => {
    const { targetPath, volumeId, ...pod } = caller
    const stream = client.mount(AbortSignal.timeout(PATIENCE_MS))
    const expiresAtMs = Date.now() + 600_000
    const tokens = Object.entries(brought).map(([audience, text]) => ({
      ...{ audience, token: Buffer.from(text), expiresAtMs },
    }))
    try {
      await stream.send({ open: { volumeId, targetPath, pod, tokens, attributes: ATTRIBUTES } })
      for await (const { contents } of stream.receive()) {
        if (contents == null) continue
        const files = contents.files.map(({ path, data }) => [path, data.toString()] as const)
        return { said: 'served', files: Object.fromEntries(files) }
      }
      return { said: 'the end', files: {} }
    } catch (thrown) {
      const { reason, message } = LatchkeyError.from(thrown)
      return { said: `${reason}: ${message}`, files: {} }
    } finally {
      stream.end()
    }
  }
}

const ATTRIBUTES = { secret: 'db' }
