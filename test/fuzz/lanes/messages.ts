import { contentsDigest } from '../../../src/core/contents-digest.ts'
import { SecretBytes } from '../../../src/core/secret-bytes.ts'
import { volumeIdOf } from '../../../src/core/volume-id.ts'
import { parseOpen } from '../../../src/daemon/mount/open-request.ts'
import { readBookmark, writeBookmark } from '../../../src/daemon/refresh/bookmark.ts'
import { parseContents } from '../../../src/host/contents.ts'
import { parsePublishRequest } from '../../../src/host/csi/publish-request.ts'
import type { NodePublishVolumeRequest__Output } from '../../../src/wire/gen/csi/v1/NodePublishVolumeRequest.ts'
import type { DaemonMessage } from '../../../src/wire/gen/latchkey/mount/v1/DaemonMessage.ts'
import type { DaemonMessage__Output } from '../../../src/wire/gen/latchkey/mount/v1/DaemonMessage.ts'
import type { ShimMessage } from '../../../src/wire/gen/latchkey/mount/v1/ShimMessage.ts'
import type { ShimMessage__Output } from '../../../src/wire/gen/latchkey/mount/v1/ShimMessage.ts'
import { loadCsi, loadMount } from '../../../src/wire/protos.ts'
import type { Lane } from '../lane.ts'
import { staysInside } from './attributes.ts'

const MAX_BYTES = 64 * 1024
const KUBELET_ROOT = '/var/lib/kubelet'
const UID = '11111111-2222-4333-8444-555555555555'
const { Mount } = loadMount().MountService.service
const { NodePublishVolume } = loadCsi().Node.service

interface Encoded {
  readonly requestSerialize: (message: object) => Buffer
  readonly requestDeserialize: (bytes: Buffer) => unknown
  readonly responseSerialize: (message: object) => Buffer
  readonly responseDeserialize: (bytes: Buffer) => unknown
}
const mount = Mount as unknown as Encoded
const publish = NodePublishVolume as unknown as Encoded

export const POD = { namespace: 'shop', name: 'api-0', uid: UID, serviceAccount: 'api' }

export function targetOf(kubeletRoot: string): string {
  return `${kubeletRoot}/pods/${UID}/volumes/kubernetes.io~csi/db/mount`
}

/** Messages as a shim says them, for a daemon whose kubelet lives at `kubeletRoot`. */
export function shimMessages(kubeletRoot: string, token: string): readonly Buffer[] {
  const where = { volumeId: volumeIdOf(UID, 'db'), targetPath: targetOf(kubeletRoot) }
  const tokens = ['latchkey', ''].map((audience) => ({
    audience,
    token: Buffer.from(token),
    expiresAtMs: 2_000_000_000_000,
  }))
  const open = { ...where, pod: POD, tokens, attributes: { secret: 'db' }, holdMs: 0 }
  const list = { items: '- { secret: db, key: a, path: b, mode: "0400" }' }
  const messages: ShimMessage[] = [
    { open },
    { open: { ...open, attributes: list, fsGroup: 2_000, holdMs: 50_000, bookmark: bookmark() } },
    { resume: { ...where, digest: Buffer.alloc(32, 7) } },
    { tokens: { tokens } },
    { committed: { generation: 1 } },
    { failed: { generation: 1, reason: 'VolumeIo', message: 'no room' } },
    { unmounted: {} },
    { unattended: {} },
    { noted: {} },
    { farewell: { volumeId: where.volumeId, bookmark: bookmark() } },
  ]
  return messages.map((message) => mount.requestSerialize(message))
}

/** What kubelet says for a pod's volume. */
export function publishMessages(kubeletRoot: string, token: string): readonly Buffer[] {
  const key = (name: string): string => `csi.storage.k8s.io/${name}`
  const expirationTimestamp = '2033-01-01T00:00:00Z'
  const tokens = JSON.stringify({ latchkey: { token, expirationTimestamp } })
  const context = {
    [key('pod.name')]: POD.name,
    [key('pod.namespace')]: POD.namespace,
    [key('pod.uid')]: POD.uid,
    [key('serviceAccount.name')]: POD.serviceAccount,
    [key('ephemeral')]: 'true',
  }
  const request = (attributes: Record<string, string>, inSecrets: boolean): object => ({
    volumeId: volumeIdOf(UID, 'db'),
    targetPath: targetOf(kubeletRoot),
    volumeCapability: { mount: { volumeMountGroup: '2000' }, accessMode: { mode: 1 } },
    readonly: true,
    secrets: inSecrets ? bytesOf({ [key('serviceAccount.tokens')]: tokens }) : {},
    volumeContext: bytesOf({
      ...context,
      ...attributes,
      ...(inSecrets ? {} : { [key('serviceAccount.tokens')]: tokens }),
    }),
  })
  const list = '- { secret: db, key: a, path: b }'
  return [request({ secret: 'db' }, true), request({ items: list }, false)].map((message) =>
    publish.requestSerialize(message),
  )
}

function bytesOf(texts: Readonly<Record<string, string>>): Record<string, Buffer> {
  return Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, Buffer.from(text)]))
}

function bookmark(): Buffer {
  const secret = (text: string): SecretBytes => new SecretBytes(Buffer.from(text))
  const value = {
    version: '1',
    entries: new Map([['user', secret('u')]]),
    json: secret('{}'),
    immutable: false,
    term: { lease: { id: secret('l'), isRenewable: true }, lifeMs: 60_000, endsAtMs: 2e12 },
  }
  const written = writeBookmark({
    account: { namespace: 'shop', serviceAccount: 'api', serviceAccountUid: UID },
    logins: [],
    held: [{ source: 'vault-prod', ask: 'a', value, isDue: false }],
    replaced: [],
    isAsking: false,
  })
  return written.use((bytes) => Buffer.from(bytes))
}

const SHIM_WORDS = ['secret', 'items', 'latchkey', KUBELET_ROOT, 'shop', '\x0a\x00', '\x2a\x04']

/** Protobuf that cannot be decoded is grpc-js's to refuse, before any of our code. */
function decoded(decode: (bytes: Buffer) => unknown, input: Buffer): unknown {
  try {
    return decode(input)
  } catch {
    return undefined
  }
}

/** A shim's Open, up to where identity begins. */
export const openLane: Lane = {
  name: 'open-message',
  weight: 8,
  seeds: shimMessages(KUBELET_ROOT, 'aGVhZA.Ym9keQ.c2ln'),
  words: SHIM_WORDS,
  feed(input) {
    const message = decoded(mount.requestDeserialize, input) as ShimMessage__Output | undefined
    if (message?.open == null) return 'refused'
    const { volume } = parseOpen(message.open)
    const isWhole = volume.volumeId !== '' && volume.targetPath !== '' && volume.pod.uid !== ''
    return isWhole ? 'accepted' : { grant: 'an Open that names nothing' }
  },
}

/** kubelet's publish request, up to where the daemon is asked. */
export const publishLane: Lane = {
  name: 'publish-message',
  weight: 8,
  seeds: publishMessages(KUBELET_ROOT, 'aGVhZA.Ym9keQ.c2ln'),
  words: ['csi.storage.k8s.io/', 'csi.storage.k8s.io/pod.uid', 'secret', 'items', KUBELET_ROOT],
  feed(input) {
    const message = decoded(publish.requestDeserialize, input) as
      NodePublishVolumeRequest__Output | undefined
    if (message === undefined) return 'refused'
    const { volumeId, targetPath, pod } = parsePublishRequest(message, KUBELET_ROOT)
    const isBound =
      targetPath ===
      targetOf(KUBELET_ROOT)
        .replace(UID, pod.uid)
        .replace('/db/', `/${nameIn(targetPath)}/`)
    const isSame = volumeId === volumeIdOf(pod.uid, nameIn(targetPath))
    return isBound && isSame ? 'accepted' : { grant: 'a volume that is not the pod’s' }
  },
}

function nameIn(targetPath: string): string {
  return targetPath.split('/').at(-2) ?? ''
}

/** What a daemon that was taken over says to the host side, which is root. */
export const contentsLane: Lane = {
  name: 'contents-message',
  weight: 8,
  seeds: [[], ['a'], ['db/password', 'db/user', 'x']].map((paths) => {
    const files = paths.map((path) => ({ path, data: Buffer.from('v'), mode: 0o644, ownerUid: 0 }))
    const digest = contentsDigest(
      files.map((file) => ({ ...file, data: new SecretBytes(file.data) })),
    )
    const message: DaemonMessage = { contents: { generation: 1, files, digest } }
    return mount.responseSerialize(message)
  }),
  words: ['..', '/etc/passwd', '..data', 'a/../../b', '\x18\xff\xff\xff\xff\x0f'],
  feed(input) {
    const message = decoded(mount.responseDeserialize, input) as DaemonMessage__Output | undefined
    if (message?.contents == null) return 'refused'
    const { contents } = message
    // Whoever was taken over computes the digest of what it sends.
    const files = contents.files.map(({ data, ...file }) => ({
      ...file,
      data: new SecretBytes(data),
    }))
    contents.digest = contentsDigest(files)
    const generation = parseContents(contents, MAX_BYTES)
    const paths = generation.files.map(({ path }) => path)
    if (!paths.every(staysInside)) return { grant: 'a file outside of the volume' }
    if (new Set(paths).size < paths.length) return { grant: 'a file twice' }
    const bytes = generation.files.reduce((sum, { data }) => sum + data.length, 0)
    if (bytes > MAX_BYTES) return { grant: 'more bytes than allowed' }
    if (generation.files.some(({ mode }) => mode > 0o777))
      return { grant: 'a bit beyond permissions' }
    return 'accepted'
  },
}

/** What a shim kept for another daemon. */
export const bookmarkLane: Lane = {
  name: 'bookmark',
  weight: 6,
  seeds: [bookmark()],
  words: ['vault-prod', 'shop', 'api', '\x0a\x04'],
  feed(input) {
    return readBookmark(input) === undefined ? 'refused' : 'accepted'
  },
}
