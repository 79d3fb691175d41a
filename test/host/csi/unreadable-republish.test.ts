import test from 'ava'
import { answerTo, callerOf, csiWorld, publishRequest, TOKENS_KEY } from './csi-world.ts'

/*
 * A final error to a republish has a kubelet without the fix of kubernetes#121271 take the files of a
 * running pod away.
 */

type Publish = ReturnType<typeof publishRequest>

const CHANGES: Readonly<Record<string, (request: Publish) => object>> = {
  'no tokens, as from a CSIDriver whose tokenRequests were emptied': (request) => ({
    ...request,
    secrets: {},
  }),
  'tokens that are no JSON': (request) => ({
    ...request,
    secrets: { [TOKENS_KEY]: Buffer.from('{') },
  }),
  'no pod in it, as from a CSIDriver without podInfoOnMount': (request) => ({
    ...request,
    volumeContext: { secret: Buffer.from('db') },
  }),
  'a word of kubelet that is not known': (request) => ({
    ...request,
    volumeContext: { ...request.volumeContext, 'csi.storage.k8s.io/new': Buffer.from('x') },
  }),
}

for (const [what, change] of Object.entries(CHANGES)) {
  test(`a republish with ${what} is answered OK and changes nothing`, async (t) => {
    const on = await csiWorld(t)
    const node = callerOf(t, on.csiSocket, 'Node')
    await node.call('NodePublishVolume', publishRequest(on.kubeletRoot))
    const answer = await answerTo(
      node.call('NodePublishVolume', change(publishRequest(on.kubeletRoot))),
    )
    t.like(answer, { code: 'OK' })
    t.is(on.volumes.published.length, 1)
    t.is(on.volumes.revisits.length, 1)
  })

  test(`a first publish with ${what} is refused`, async (t) => {
    const on = await csiWorld(t)
    const node = callerOf(t, on.csiSocket, 'Node')
    const answer = await answerTo(
      node.call('NodePublishVolume', change(publishRequest(on.kubeletRoot))),
    )
    t.not(answer.code, 'OK')
  })
}

test('what cannot be read is refused for another place than that of the volume', async (t) => {
  const on = await csiWorld(t)
  const node = callerOf(t, on.csiSocket, 'Node')
  const request = publishRequest(on.kubeletRoot)
  await node.call('NodePublishVolume', request)
  const targetPath = request.targetPath?.replace('/db/', '/other/') ?? ''
  const answer = await answerTo(
    node.call('NodePublishVolume', { ...publishRequest(on.kubeletRoot), targetPath }),
  )
  t.is(answer.code, 'INVALID_ARGUMENT')
})
