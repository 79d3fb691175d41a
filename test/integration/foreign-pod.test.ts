import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { loadConfig } from '../../src/config/load.ts'
import { systemClock } from '../../src/core/clock.ts'
import { LatchkeyError } from '../../src/core/errors.ts'
import { volumeIdOf } from '../../src/core/volume-id.ts'
import { loadKubeconfig } from '../../src/daemon/kube/kubeconfig.ts'
import { createKubeClient } from '../../src/daemon/kube/create-client.ts'
import { startDaemon } from '../../src/daemon/start-daemon.ts'
import { startMinicluster } from '../../src/minicluster/minicluster.ts'
import type { StoredPod } from '../../src/minicluster/pod-store.ts'
import { createLogger } from '../../src/observability/log.ts'
import type { ShimMessage } from '../../src/wire/gen/latchkey/mount/v1/ShimMessage.ts'
import { createMountClient } from '../../src/wire/mount-client.ts'
import { tempDir } from '../support/temp-dir.ts'

/*
 * A host side, or a caller in the place of kubelet, in somebody else's hands: it is root on this node, has
 * stolen tokens of a pod elsewhere that are good at the API server, and speaks to the real daemon.
 */
async function startWorld(t: ExecutionContext) {
  const folder = tempDir(t)
  const cluster = await startMinicluster({ root: folder })
  const { objects, kubeletRoot, nodeName } = cluster
  const mount = join(folder, 'm/mount.sock')
  const kube = createKubeClient({
    connection: loadKubeconfig(cluster.kubeconfigFile),
    clock: systemClock,
  })
  const daemon = await startDaemon({
    config: {
      ...loadConfig({}),
      kubelet: { root: kubeletRoot },
      sockets: { mount },
      http: { address: '127.0.0.1', port: 0 },
    },
    nodeName,
    version: '0.0.0-test',
    kube,
    clock: systemClock,
    log: createLogger({ level: 'silent', side: 'daemon' }),
    shimUid: process.getuid?.() ?? -1,
  })
  const client = createMountClient(mount)
  t.teardown(async () => {
    client.close()
    await daemon.stop()
    await cluster.stop()
  })
  objects.createServiceAccount({ namespace: 'shop', name: 'api' })
  objects.createSecret({ namespace: 'shop', name: 'db', data: { password: Buffer.from('x') } })
  const grant = { namespace: 'shop', serviceAccount: 'api', secrets: ['db'] }
  objects.grant({ ...grant, verbs: ['get', 'watch'] })
  const addPod = (name: string, node: string): StoredPod => {
    const csi = { driver: 'csi.none.dev', readOnly: true, volumeAttributes: { secret: 'db' } }
    const volumes = [{ name: 'db', csi }]
    return objects.createPod({ namespace: 'shop', name, serviceAccount: 'api', node, volumes })
  }
  return { cluster, client, here: addPod('here', nodeName), there: addPod('there', 'node-2') }
}

type World = Awaited<ReturnType<typeof startWorld>>

/** All that kubelet would say for a pod, with the tokens of another one. */
function openFor({ cluster }: World, pod: StoredPod, tokensOf = pod): ShimMessage {
  const audiences = ['latchkey', '']
  return {
    open: {
      volumeId: volumeIdOf(pod.uid, 'db'),
      targetPath: `${cluster.kubeletRoot}/pods/${pod.uid}/volumes/kubernetes.io~csi/db/mount`,
      pod: { namespace: 'shop', name: pod.name, uid: pod.uid, serviceAccount: 'api' },
      tokens: audiences.map((audience) => ({
        audience,
        token: cluster.objects
          .podToken(tokensOf, audience)
          .token.use((bytes) => Buffer.from(bytes)),
        expiresAtMs: Date.now() + 600_000,
      })),
      attributes: { secret: 'db' },
    },
  }
}

/** What the daemon answers first: files, or why not. */
async function outcomeOf({ client }: World, message: ShimMessage): Promise<string> {
  const stream = client.mount(AbortSignal.timeout(20_000))
  try {
    await stream.send(message)
    for await (const { contents } of stream.receive()) if (contents) return 'files'
    return 'the end'
  } catch (thrown) {
    return LatchkeyError.from(thrown).reason
  } finally {
    stream.end()
  }
}

test('whoever calls the daemon gets nothing for a pod that is not on this node, and nothing is fetched', async (t) => {
  const world = await startWorld(t)
  const { here, there, cluster } = world
  t.is(await outcomeOf(world, openFor(world, there)), 'PodMismatch')
  t.is(await outcomeOf(world, openFor(world, there, here)), 'PodMismatch')
  t.is(await outcomeOf(world, openFor(world, here, there)), 'PodMismatch')
  t.is(cluster.api.counts.secretRead, 0)
  t.is(await outcomeOf(world, openFor(world, here)), 'files')
  t.is(cluster.api.counts.secretRead, 1)
})
