import { nodeStory } from './support.ts'
import { items, openShop } from './vault.ts'

nodeStory('a pod reads a KV secret of Vault, logged in by the API server’s own keys', async (t) => {
  const { place, podName, serviceAccount } = openShop(t)
  const pod = podName('kv')
  await place.applyConsumer(pod, {
    serviceAccount: await serviceAccount('kv'),
    volumes: {
      shop: items(
        '{ from: vault-open, role: shop-any, secret: kv/shop/api, key: token, path: token }',
      ),
    },
  })
  await place.waitForPod(pod)
  t.is(await place.execText(pod, ['cat', '/volumes/shop/token']), 'a-token')
})
