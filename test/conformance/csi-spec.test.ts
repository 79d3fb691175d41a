import test from 'ava'
import { LatchkeyError, REASONS, type Reason } from '../../src/core/errors.ts'
import { volumeIdOf } from '../../src/core/volume-id.ts'
import {
  answerTo,
  callerOf,
  csiWorld,
  DRIVER,
  publishRequest,
  TOKENS_KEY,
  VOLUME_ID,
  type CsiWorld,
} from '../host/csi/csi-world.ts'
import { POD_UID } from '../support/volume-requests.ts'

/*
 * The CSI spec's Identity and Node sections as they apply to a driver of inline volumes without stage,
 * expand and controller: a row is a rule of the spec, held against the driver over its socket.
 */

interface Rule {
  readonly section: string
  readonly says: string
  readonly service: 'Identity' | 'Node'
  readonly method: string
  readonly request: (on: CsiWorld) => object
  readonly code: string
  /** A part of the message. */
  readonly names?: string
}

type Publish = ReturnType<typeof publishRequest>

const publishing =
  (change: (request: Publish, on: CsiWorld) => object) =>
  (on: CsiWorld): object =>
    change(publishRequest(on.kubeletRoot), on)

const asIs = publishing((request) => request)

const RULES: readonly Rule[] = [
  {
    section: 'NodePublishVolume',
    says: 'a request without volume_id is refused',
    service: 'Node',
    method: 'NodePublishVolume',
    request: publishing((request) => ({ ...request, volumeId: '' })),
    code: 'INVALID_ARGUMENT',
    names: 'volume_id',
  },
  {
    section: 'NodePublishVolume',
    says: 'a request without target_path is refused',
    service: 'Node',
    method: 'NodePublishVolume',
    request: publishing((request) => ({ ...request, targetPath: '' })),
    code: 'INVALID_ARGUMENT',
    names: 'target_path',
  },
  {
    section: 'NodePublishVolume',
    says: 'a request without volume_capability is refused',
    service: 'Node',
    method: 'NodePublishVolume',
    request: publishing((request) => ({ ...request, volumeCapability: null })),
    code: 'INVALID_ARGUMENT',
    names: 'volume_capability',
  },
  {
    section: 'NodePublishVolume',
    says: 'an empty request is told about volume_id first',
    service: 'Node',
    method: 'NodePublishVolume',
    request: () => ({}),
    code: 'INVALID_ARGUMENT',
    names: 'volume_id',
  },
  {
    section: 'NodePublishVolume',
    says: 'a request with volume_id alone is told about target_path',
    service: 'Node',
    method: 'NodePublishVolume',
    request: () => ({ volumeId: 'id' }),
    code: 'INVALID_ARGUMENT',
    names: 'target_path',
  },
  {
    section: 'NodePublishVolume',
    says: 'a request with id and path alone is told about volume_capability',
    service: 'Node',
    method: 'NodePublishVolume',
    request: () => ({ volumeId: 'id', targetPath: '/mnt' }),
    code: 'INVALID_ARGUMENT',
    names: 'volume_capability',
  },
  {
    section: 'NodePublishVolume',
    says: 'a block volume is refused',
    service: 'Node',
    method: 'NodePublishVolume',
    request: publishing((request) => ({
      ...request,
      volumeCapability: { block: {}, accessMode: { mode: 'SINGLE_NODE_WRITER' } },
    })),
    code: 'INVALID_ARGUMENT',
    names: 'volume_capability',
  },
  {
    section: 'NodePublishVolume',
    says: 'a capability without an access type is refused',
    service: 'Node',
    method: 'NodePublishVolume',
    request: publishing((request) => ({ ...request, volumeCapability: {} })),
    code: 'INVALID_ARGUMENT',
    names: 'volume_capability',
  },
  {
    section: 'NodePublishVolume',
    says: 'a staging path is refused, for STAGE_UNSTAGE_VOLUME is not offered',
    service: 'Node',
    method: 'NodePublishVolume',
    request: publishing((request) => ({ ...request, stagingTargetPath: '/stage' })),
    code: 'INVALID_ARGUMENT',
    names: 'staging_target_path',
  },
  {
    section: 'NodePublishVolume',
    says: 'a publish context is refused, for there is no controller to make one',
    service: 'Node',
    method: 'NodePublishVolume',
    request: publishing((request) => ({ ...request, publishContext: { device: '/dev/x' } })),
    code: 'INVALID_ARGUMENT',
    names: 'publish_context',
  },
  {
    section: 'NodePublishVolume',
    says: 'a writable volume is refused, naming the line of the pod',
    service: 'Node',
    method: 'NodePublishVolume',
    request: publishing((request) => ({ ...request, readonly: false })),
    code: 'INVALID_ARGUMENT',
    names: 'spec.volumes[].csi.readOnly must be true',
  },
  {
    section: 'NodePublishVolume',
    says: 'a request without tokens is unauthenticated',
    service: 'Node',
    method: 'NodePublishVolume',
    request: publishing((request) => ({ ...request, secrets: {} })),
    code: 'UNAUTHENTICATED',
    names: 'TokenMissing: ',
  },
  {
    section: 'NodePublishVolume',
    says: 'secrets of a nodePublishSecretRef are refused',
    service: 'Node',
    method: 'NodePublishVolume',
    request: publishing((request) => ({
      ...request,
      secrets: { ...request.secrets, password: Buffer.from('x') },
    })),
    code: 'INVALID_ARGUMENT',
    names: 'nodePublishSecretRef',
  },
  {
    section: 'NodePublishVolume',
    says: 'a complete request is answered OK',
    service: 'Node',
    method: 'NodePublishVolume',
    request: asIs,
    code: 'OK',
  },
  {
    section: 'NodeUnpublishVolume',
    says: 'a request without volume_id is refused',
    service: 'Node',
    method: 'NodeUnpublishVolume',
    request: ({ targetPath }) => ({ targetPath }),
    code: 'INVALID_ARGUMENT',
    names: 'volume_id',
  },
  {
    section: 'NodeUnpublishVolume',
    says: 'a request without target_path is refused',
    service: 'Node',
    method: 'NodeUnpublishVolume',
    request: () => ({ volumeId: VOLUME_ID }),
    code: 'INVALID_ARGUMENT',
    names: 'target_path',
  },
  {
    section: 'NodeUnpublishVolume',
    says: 'a volume that never was is gone already',
    service: 'Node',
    method: 'NodeUnpublishVolume',
    request: ({ targetPath }) => ({ volumeId: VOLUME_ID, targetPath }),
    code: 'OK',
  },
  {
    section: 'NodeUnpublishVolume',
    says: 'the id of another volume is refused',
    service: 'Node',
    method: 'NodeUnpublishVolume',
    request: ({ targetPath }) => ({ volumeId: volumeIdOf(POD_UID, 'other'), targetPath }),
    code: 'INVALID_ARGUMENT',
    names: 'volume_id',
  },
  {
    section: 'NodeUnpublishVolume',
    says: 'a target outside of the pods folder is refused',
    service: 'Node',
    method: 'NodeUnpublishVolume',
    request: () => ({ volumeId: VOLUME_ID, targetPath: '/etc' }),
    code: 'INVALID_ARGUMENT',
    names: 'target_path',
  },
  {
    section: 'NodeGetVolumeStats',
    says: 'a request without volume_id is refused',
    service: 'Node',
    method: 'NodeGetVolumeStats',
    request: ({ targetPath }) => ({ volumePath: targetPath }),
    code: 'INVALID_ARGUMENT',
    names: 'volume_id',
  },
  {
    section: 'NodeGetVolumeStats',
    says: 'a request without volume_path is refused',
    service: 'Node',
    method: 'NodeGetVolumeStats',
    request: () => ({ volumeId: VOLUME_ID }),
    code: 'INVALID_ARGUMENT',
    names: 'volume_path',
  },
  {
    section: 'NodeGetVolumeStats',
    says: 'an unknown volume is not found',
    service: 'Node',
    method: 'NodeGetVolumeStats',
    request: ({ targetPath }) => ({ volumeId: VOLUME_ID, volumePath: targetPath }),
    code: 'NOT_FOUND',
    names: 'volume_path',
  },
]

for (const { section, says, service, method, request, code, names } of RULES) {
  test(`CSI ${section}: ${says}`, async (t) => {
    const on = await csiWorld(t)
    const node = callerOf(t, on.csiSocket, service)
    const answer = await answerTo(node.call(method, request(on)))
    t.is(answer.code, code, answer.message)
    if (names !== undefined) t.true(answer.message.includes(names), answer.message)
    if (code !== 'OK') t.deepEqual([on.volumes.published, on.volumes.unpublished], [[], []])
  })
}

test('CSI GetPluginInfo: answers a name of the shape that the spec asks for, and a version', async (t) => {
  const on = await csiWorld(t)
  const identity = callerOf(t, on.csiSocket, 'Identity')
  const info = (await identity.call('GetPluginInfo', {})) as { name: string; vendorVersion: string }
  t.deepEqual(info, { name: DRIVER, vendorVersion: '1.2.3' })
  t.regex(info.name, /^[a-zA-Z]([-.a-zA-Z0-9]{0,61}[a-zA-Z])$/)
})

test('CSI GetPluginCapabilities: a driver without a controller names none', async (t) => {
  const on = await csiWorld(t)
  const identity = callerOf(t, on.csiSocket, 'Identity')
  t.deepEqual(await identity.call('GetPluginCapabilities', {}), {})
})

test('CSI Probe: says ready in so many words', async (t) => {
  const on = await csiWorld(t)
  const identity = callerOf(t, on.csiSocket, 'Identity')
  t.deepEqual(await identity.call('Probe', {}), { ready: { value: true } })
})

test('CSI NodeGetInfo: the node id is the name of the node, and volumes are not limited', async (t) => {
  const on = await csiWorld(t)
  const info = await callerOf(t, on.csiSocket, 'Node').call('NodeGetInfo', {})
  t.deepEqual(info, { nodeId: 'node-1', maxVolumesPerNode: 0 })
})

test('CSI NodeGetCapabilities: stats and the mount group, and nothing that is not served', async (t) => {
  const on = await csiWorld(t)
  const answer = await callerOf(t, on.csiSocket, 'Node').call('NodeGetCapabilities', {})
  const { capabilities } = answer as { capabilities: { rpc: { type: string } }[] }
  t.deepEqual(
    capabilities.map(({ rpc }) => rpc.type),
    ['GET_VOLUME_STATS', 'VOLUME_MOUNT_GROUP'],
  )
})

test('CSI NodeGetVolumeStats: bytes and inodes of a published volume, at its own path only', async (t) => {
  const on = await csiWorld(t)
  const node = callerOf(t, on.csiSocket, 'Node')
  await node.call('NodePublishVolume', publishRequest(on.kubeletRoot))
  t.deepEqual(
    await node.call('NodeGetVolumeStats', { volumeId: VOLUME_ID, volumePath: on.targetPath }),
    {
      usage: [
        { total: 1_048_576, used: 12_288, available: 1_036_288, unit: 'BYTES' },
        { total: 64, used: 9, available: 55, unit: 'INODES' },
      ],
    },
  )
  const elsewhere = { volumeId: VOLUME_ID, volumePath: '/some/path' }
  t.is((await answerTo(node.call('NodeGetVolumeStats', elsewhere))).code, 'NOT_FOUND')
})

test('CSI: publish and unpublish may each come ten times in a row', async (t) => {
  const on = await csiWorld(t)
  const node = callerOf(t, on.csiSocket, 'Node')
  const volume = { volumeId: VOLUME_ID, targetPath: on.targetPath }
  for (let time = 0; time < 10; time += 1) {
    await node.call('NodePublishVolume', publishRequest(on.kubeletRoot))
  }
  for (let time = 0; time < 10; time += 1) await node.call('NodeUnpublishVolume', volume)
  t.is(on.volumes.published.length, 10)
  t.deepEqual(
    on.volumes.unpublished,
    Array.from({ length: 10 }, () => volume),
  )
})

test('CSI: what reaches the host story is the pod, its tokens and its own attributes', async (t) => {
  const on = await csiWorld(t)
  await callerOf(t, on.csiSocket, 'Node').call('NodePublishVolume', publishRequest(on.kubeletRoot))
  const [request] = on.volumes.published
  t.like(request, {
    volumeId: VOLUME_ID,
    targetPath: on.targetPath,
    pod: { namespace: 'shop', name: 'api-0', uid: POD_UID, serviceAccount: 'api' },
    fsGroup: undefined,
  })
  t.deepEqual([...(request?.attributes ?? [])], [['secret', 'db']])
  t.deepEqual(
    request?.tokens.map(({ audience, token, expiresAtMs }) => [
      audience,
      token.use((bytes) => bytes.toString()),
      expiresAtMs,
    ]),
    [
      ['latchkey', 'aGVhZA.Ym9keQ.c2ln', Date.UTC(2026, 0, 1, 0, 10)],
      ['', 'aGVhZA.YXBp.c2ln', Date.UTC(2026, 0, 1, 1)],
    ],
  )
})

test('tokens are taken from the attributes where the CSIDriver does not put them in secrets', async (t) => {
  const on = await csiWorld(t)
  const { secrets, volumeContext, ...rest } = publishRequest(on.kubeletRoot)
  await callerOf(t, on.csiSocket, 'Node').call('NodePublishVolume', {
    ...rest,
    volumeContext: { ...volumeContext, ...secrets },
  })
  const [request] = on.volumes.published
  t.is(request?.tokens.length, 2)
  t.false(request?.attributes.has(TOKENS_KEY))
})

// kubelet forgets a volume after a final code, and unpublishes it later after an uncertain one
// (pkg/volume/csi, isFinalError): a code in the wrong class leaves bytes behind or strands a pod.
const UNCERTAIN = ['CANCELLED', 'DEADLINE_EXCEEDED', 'UNAVAILABLE', 'RESOURCE_EXHAUSTED', 'ABORTED']
const MAY_PASS: readonly Reason[] = [
  'OperationPending',
  'SourceUnavailable',
  'KubeUnavailable',
  'DaemonUnavailable',
  'ShuttingDown',
  'Timeout',
  'Overloaded',
]

for (const reason of REASONS) {
  const isUncertain = MAY_PASS.includes(reason)
  test(`kubelet takes ${reason} for ${isUncertain ? 'an uncertain' : 'a final'} error`, async (t) => {
    const on = await csiWorld(t)
    on.volumes.fails = new LatchkeyError(reason, 'as told')
    const node = callerOf(t, on.csiSocket, 'Node')
    const answer = await answerTo(node.call('NodePublishVolume', publishRequest(on.kubeletRoot)))
    t.is(UNCERTAIN.includes(answer.code), isUncertain, answer.code)
    t.is(answer.message, `${reason}: as told`)
    t.deepEqual(on.done, [`NodePublishVolume ${reason}`])
  })
}

test('an error that left something mounted makes kubelet unpublish later', async (t) => {
  const on = await csiWorld(t)
  on.volumes.fails = new LatchkeyError('VolumeIo', 'busy', { leftMounted: true })
  const node = callerOf(t, on.csiSocket, 'Node')
  const answer = await answerTo(node.call('NodePublishVolume', publishRequest(on.kubeletRoot)))
  t.deepEqual(answer, { code: 'UNAVAILABLE', message: 'VolumeIo: busy' })
})
