import test from 'ava'
import { LatchkeyError } from '../../../src/core/errors.ts'
import { volumeIdOf } from '../../../src/core/volume-id.ts'
import { parsePublishRequest } from '../../../src/host/csi/publish-request.ts'
import type { NodePublishVolumeRequest__Output } from '../../../src/wire/gen/csi/v1/NodePublishVolumeRequest.ts'
import { KUBELET_ROOT, POD_UID } from '../../support/volume-requests.ts'
import { publishRequest, TOKENS_KEY, tokensJson } from './csi-world.ts'

type Publish = NodePublishVolumeRequest__Output

const PREFIX = 'csi.storage.k8s.io/'
const OTHER_UID = '99999999-2222-4333-8444-555555555555'

/** As the wire hands it over: every field there. */
function output(): Publish {
  const request = publishRequest(KUBELET_ROOT)
  return {
    stagingTargetPath: '',
    publishContext: {},
    ...request,
    volumeCapability: mountCapability(),
  } as Publish
}

function mountCapability(
  mount: { fsType?: string; mountFlags?: string[]; volumeMountGroup?: string } = {},
): Publish['volumeCapability'] {
  return {
    mount: { fsType: '', mountFlags: [], volumeMountGroup: '', ...mount },
    block: null,
    accessMode: { mode: 'SINGLE_NODE_WRITER' },
    accessType: 'mount',
  }
}

function withContext(changes: Readonly<Record<string, string | Buffer | undefined>>): Publish {
  const request = output()
  for (const [key, value] of Object.entries(changes)) {
    if (value === undefined) Reflect.deleteProperty(request.volumeContext, key)
    else request.volumeContext[key] = Buffer.from(value)
  }
  return request
}

function withTokens(json: string | Buffer): Publish {
  return { ...output(), secrets: { [TOKENS_KEY]: Buffer.from(json) } }
}

function tokensOf(count: number): Buffer {
  const entry = { token: 'a.b.c', expirationTimestamp: '2026-01-01T00:10:00Z' }
  return tokensJson(
    Object.fromEntries(Array.from({ length: count }, (_, n) => [`audience-${n}`, entry])),
  )
}

interface Refusal {
  readonly when: string
  readonly request: () => Publish
  readonly reason?: 'TokenMissing'
  readonly names: string
}

const REFUSALS: readonly Refusal[] = [
  {
    when: 'fsType is set',
    request: () => ({ ...output(), volumeCapability: mountCapability({ fsType: 'ext4' }) }),
    names: 'spec.volumes[].csi.fsType',
  },
  {
    when: 'mount flags are set',
    request: () => ({ ...output(), volumeCapability: mountCapability({ mountFlags: ['exec'] }) }),
    names: 'mount_flags',
  },
  ...['-1', '1.5', '0x10', '4294967295', '99999999999', ' 1', 'staff', '１'].map((gid) => ({
    when: `the mount group is ${JSON.stringify(gid)}`,
    request: () => ({
      ...output(),
      volumeCapability: mountCapability({ volumeMountGroup: gid }),
    }),
    names: 'spec.securityContext.fsGroup',
  })),
  {
    when: 'the volume is not ephemeral',
    request: () => withContext({ [`${PREFIX}ephemeral`]: 'false' }),
    names: `${PREFIX}ephemeral`,
  },
  {
    when: 'nothing says that the volume is ephemeral',
    request: () => withContext({ [`${PREFIX}ephemeral`]: undefined }),
    names: `${PREFIX}ephemeral`,
  },
  ...['pod.name', 'pod.namespace', 'pod.uid', 'serviceAccount.name'].map((key) => ({
    when: `${key} is missing`,
    request: () => withContext({ [`${PREFIX}${key}`]: undefined }),
    names: 'podInfoOnMount: true',
  })),
  ...['pod.name', 'pod.namespace', 'serviceAccount.name'].map((key) => ({
    when: `${key} is not a Kubernetes name`,
    request: () => withContext({ [`${PREFIX}${key}`]: 'a/../b' }),
    names: `${PREFIX}${key}`,
  })),
  {
    when: 'the pod uid is not that of the target path',
    request: () => withContext({ [`${PREFIX}pod.uid`]: OTHER_UID }),
    names: 'target_path',
  },
  {
    when: 'the volume id is not the one of this pod and volume',
    request: () => ({ ...output(), volumeId: volumeIdOf(POD_UID, 'other') }),
    names: 'volume_id',
  },
  {
    when: 'the volume id is not shaped as kubelet shapes it',
    request: () => ({ ...output(), volumeId: 'csi-../../etc' }),
    names: 'volume_id',
  },
  ...[
    '/etc/mount',
    `${KUBELET_ROOT}/pods/${POD_UID}/volumes/kubernetes.io~csi/db`,
    `${KUBELET_ROOT}/pods/${POD_UID}/volumes/kubernetes.io~csi/../db/mount`,
    `${KUBELET_ROOT}/pods/${POD_UID}/volumes/kubernetes.io~csi/db/mount/`,
    `${KUBELET_ROOT}/pods/${POD_UID}/volumes/kubernetes.io~secret/db/mount`,
    `/var/lib/other/pods/${POD_UID}/volumes/kubernetes.io~csi/db/mount`,
    `${KUBELET_ROOT}/pods/${POD_UID}/volumes/kubernetes.io~csi/db/mount/deeper`,
  ].map((targetPath) => ({
    when: `the target is ${targetPath}`,
    request: () => ({ ...output(), targetPath }),
    names: 'target_path',
  })),
  {
    when: 'the pod author forges a key of kubelet',
    request: () => withContext({ [`${PREFIX}node.name`]: 'node-9' }),
    names: `volumeAttributes.${PREFIX}node.name`,
  },
  {
    when: 'an attribute is not UTF-8',
    request: () => withContext({ secret: Buffer.from([0xff, 0xfe]) }),
    names: 'volumeAttributes.secret',
  },
  {
    when: 'attributes are oversized',
    request: () => withContext({ items: 'x'.repeat(64 * 1024) }),
    names: 'volumeAttributes',
  },
  {
    when: 'there are too many attributes',
    request: () =>
      withContext(Object.fromEntries(Array.from({ length: 65 }, (_, n) => [`a${n}`, 'x']))),
    names: 'volumeAttributes',
  },
  {
    when: 'secrets hold a key of a nodePublishSecretRef',
    request: () => {
      const request = output()
      return { ...request, secrets: { ...request.secrets, password: Buffer.from('hunter2') } }
    },
    names: 'nodePublishSecretRef',
  },
  {
    when: 'no tokens come',
    request: () => ({ ...output(), secrets: {} }),
    reason: 'TokenMissing',
    names: 'tokenRequests',
  },
  {
    when: 'the tokens are empty',
    request: () => withTokens(''),
    reason: 'TokenMissing',
    names: 'tokenRequests',
  },
  {
    when: 'the tokens are a map of none',
    request: () => withTokens('{}'),
    reason: 'TokenMissing',
    names: 'tokenRequests',
  },
  ...[
    { when: 'are no JSON', json: 'a.b.c' },
    { when: 'are a list', json: '[]' },
    { when: 'are null', json: 'null' },
    { when: 'hold a bare string', json: '{"latchkey":"a.b.c"}' },
    { when: 'hold a null', json: '{"latchkey":null}' },
    { when: 'hold no token', json: '{"latchkey":{"expirationTimestamp":"2026-01-01T00:00:00Z"}}' },
    { when: 'hold no expiry', json: '{"latchkey":{"token":"a.b.c"}}' },
    {
      when: 'hold a token that is no JWS',
      json: '{"latchkey":{"token":"a b c","expirationTimestamp":"2026-01-01T00:00:00Z"}}',
    },
    {
      when: 'hold a token with a line feed at its end',
      json: '{"latchkey":{"token":"a.b.c\\n","expirationTimestamp":"2026-01-01T00:00:00Z"}}',
    },
    {
      when: 'hold an expiry that is no time',
      json: '{"latchkey":{"token":"a.b.c","expirationTimestamp":"soon"}}',
    },
    {
      when: 'hold a token of more than 16 KiB',
      json: JSON.stringify({
        latchkey: {
          token: `a.${'b'.repeat(16 * 1024)}.c`,
          expirationTimestamp: '2026-01-01T00:00:00Z',
        },
      }),
    },
    { when: 'are for 17 audiences', json: tokensOf(17).toString() },
    { when: 'are oversized', json: ' '.repeat(200 * 1024) },
  ].map(({ when, json }) => ({
    when: `the tokens ${when}`,
    request: () => withTokens(json),
    names: TOKENS_KEY,
  })),
]

for (const { when, request, reason = 'InvalidRequest', names } of REFUSALS) {
  test(`a publish is refused when ${when}`, (t) => {
    const error = t.throws(() => parsePublishRequest(request(), KUBELET_ROOT), {
      instanceOf: LatchkeyError,
    })
    t.is(error.reason, reason, error.message)
    t.true(error.message.includes(names), error.message)
    t.false(error.message.includes('\n'))
  })
}

for (const { group, fsGroup } of [
  { group: '', fsGroup: undefined },
  { group: '0', fsGroup: 0 },
  { group: '2000', fsGroup: 2000 },
  { group: '4294967294', fsGroup: 4_294_967_294 },
]) {
  test(`a mount group of ${JSON.stringify(group)} is fsGroup ${String(fsGroup)}`, (t) => {
    const request = {
      ...output(),
      volumeCapability: mountCapability({ volumeMountGroup: group }),
    }
    t.is(parsePublishRequest(request, KUBELET_ROOT).fsGroup, fsGroup)
  })
}

test('tokens for sixteen audiences are taken', (t) => {
  const { tokens } = parsePublishRequest(withTokens(tokensOf(16)), KUBELET_ROOT)
  t.is(tokens.length, 16)
})

test('tokens in secrets win over those that stand among the attributes', (t) => {
  const forged = tokensJson({
    latchkey: { token: 'for.ged.jws', expirationTimestamp: '2026-01-01T00:10:00Z' },
  })
  const request = withContext({ [TOKENS_KEY]: forged })
  const { tokens, attributes } = parsePublishRequest(request, KUBELET_ROOT)
  t.deepEqual(
    tokens.map(({ token }) => token.use((bytes) => bytes.toString())),
    ['aGVhZA.Ym9keQ.c2ln', 'aGVhZA.YXBp.c2ln'],
  )
  t.deepEqual([...attributes.keys()], ['secret'])
})

test('attributes named after parts of every object are attributes like any other', (t) => {
  const request = withContext({ constructor: 'a', toString: 'b' })
  Object.defineProperty(request.volumeContext, '__proto__', {
    value: Buffer.from('c'),
    enumerable: true,
  })
  const { attributes } = parsePublishRequest(request, KUBELET_ROOT)
  t.is(attributes.get('constructor'), 'a')
  t.is(attributes.get('toString'), 'b')
  t.is(attributes.get('__proto__'), 'c')
})

test('an attribute that comes without a value on the wire is empty', (t) => {
  // As protobufjs reads such an entry.
  const request = withContext({ optional: [] as unknown as Buffer })
  t.is(parsePublishRequest(request, KUBELET_ROOT).attributes.get('optional'), '')
})

test('the bytes that the tokens came in are zeroed once the tokens have been read', (t) => {
  const request = output()
  parsePublishRequest(request, KUBELET_ROOT)
  t.true(request.secrets[TOKENS_KEY]?.every((byte) => byte === 0))
})

for (const { when, change } of [
  { when: 'for its shape', change: { readonly: false } },
  { when: 'for its pod', change: { volumeId: volumeIdOf(POD_UID, 'other') } },
]) {
  test(`a request that is refused ${when} leaves no token behind either`, (t) => {
    const request = { ...output(), ...change }
    t.throws(() => parsePublishRequest(request, KUBELET_ROOT))
    t.true(request.secrets[TOKENS_KEY]?.every((byte) => byte === 0))
  })
}

test('secrets of a nodePublishSecretRef are zeroed with the refusal', (t) => {
  const password = Buffer.from('hunter2')
  const request = output()
  t.throws(() =>
    parsePublishRequest({ ...request, secrets: { ...request.secrets, password } }, KUBELET_ROOT),
  )
  t.true(password.every((byte) => byte === 0))
})
