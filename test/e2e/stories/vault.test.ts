import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { BASE_IMAGE } from '../cluster/images.ts'
import { describePostgres } from '../cluster/postgres.ts'
import { until } from '../cluster/until.ts'
import { PROJECT } from '../guide.ts'
import { consumerPod } from './kube-objects.ts'
import { latchkeyPod, logLines, system } from './latchkey.ts'
import { cluster, nodeStory } from './support.ts'
import {
  databasePod,
  databaseUsers,
  items,
  openShop,
  untilUsers,
  untilUsersAreOf,
} from './vault.ts'

const TOKEN = '{ from: vault-open, role: shop-any, secret: kv/shop/api, key: token, path: token }'
/** Free on the node. */
const CONTRACT_PORTS = { postgres: 5433, vault: 18200 } as const
const LOGIN = 'auth/jwt/login'

nodeStory(
  'each example of the page starts a pod as it is, with the files it names',
  async (t, node) => {
    const { place, podNames } = openShop(t)
    await node.run([
      ...['ctr', '-n', 'k8s.io', 'images', 'tag', '--force'],
      ...[BASE_IMAGE, 'docker.io/library/debian:bookworm-slim'],
    ])
    const [kv, database, pki, all] = ['api-kv', 'api-database', 'api-pki', 'api'] as const
    podNames.push(kv, database, pki, all)
    for (const name of ['vault-kv', 'vault-database', 'vault-pki', 'vault']) {
      await place.applyYaml(readFileSync(join(PROJECT, 'deploy/examples', `${name}.yaml`), 'utf8'))
    }
    const read = (pod: string, path: string): Promise<string> =>
      place.execText(pod, ['cat', `/run/secrets/${path}`])

    for (const pod of [kv, database, pki, all]) await place.waitForPod(pod)
    t.deepEqual(
      await Promise.all(
        ['api-token', 'api/retries', 'api-token-1'].map((it) => read(kv, `shop/${it}`)),
      ),
      ['a-token', '3', 'a-token'],
    )
    t.deepEqual(JSON.parse(await read(kv, 'shop/api.json')), { token: 'a-token', retries: 3 })
    t.is(await read(all, 'shop/api-token'), 'a-token')

    const users = await databaseUsers(node)
    for (const file of [
      [database, 'db/username'],
      [all, 'shop/db/username'],
    ] as const) {
      t.true(users.includes(await read(file[0], file[1])), 'the user is there')
    }
    t.is(users.length, 2)
    t.true((await read(database, 'db/password')).length > 10)

    const names = ['certificate', 'private_key', 'issuing_ca', 'ca_chain'] as const
    const [certificate, key, issuer, chain] = await Promise.all(
      names.map((name) => read(pki, `tls/${name}`)),
    )
    const parsed = new X509Certificate(certificate ?? '')
    t.true(parsed.checkPrivateKey(createPrivateKey(key ?? '')), 'certificate and key are a pair')
    t.true(parsed.verify(new X509Certificate(issuer ?? '').publicKey))
    t.is(chain, issuer, 'the list of one authority is that one, as PEM')
    t.is(parsed.checkHost('old.shop.example'), 'old.shop.example')

    for (const pod of [kv, database, pki, all]) await place.deletePod(pod)
    await untilUsers(node, 0, 20_000)
  },
)

nodeStory(
  'every way to log in that the page recommends opens a session in a real pod',
  async (t) => {
    const { place, podName } = openShop(t)
    const ways = ['vault-prod', 'vault-keys', 'vault-reviewed']
    const pods = ways.map((way) => podName(way))
    for (const [index, way] of ways.entries()) {
      await place.applyConsumer(pods[index] ?? '', {
        serviceAccount: 'api',
        volumes: { shop: items(`{ from: ${way}, secret: kv/shop/api, key: token, path: token }`) },
      })
    }
    for (const pod of pods) {
      await place.waitForPod(pod)
      t.is(await place.execText(pod, ['cat', '/volumes/shop/token']), 'a-token')
    }
  },
)

nodeStory(
  'the kubernetes method without a reviewer’s token refuses the pod’s token, and the event says what to set',
  async (t) => {
    const { place, podName, serviceAccount } = openShop(t)
    const pod = podName('unreviewed')
    await place.applyConsumer(pod, {
      serviceAccount: await serviceAccount('unreviewed'),
      volumes: {
        shop: items('{ from: vault-unreviewed, secret: kv/shop/api, key: token, path: token }'),
      },
    })
    const { message } = await place.waitForEvent(pod, /vault-unreviewed/)
    t.log(message)
    t.regex(message, /AccessDenied/)
    t.regex(message, /token_reviewer_jwt/)
  },
)

nodeStory(
  'without a reviewer’s token a pod has to be a reviewer itself and show its token for the API server',
  async (t) => {
    const { place, podName, serviceAccount } = openShop(t)
    const own = await serviceAccount('reviewer')
    const pod = podName('reviewer')
    await place.applyConsumer(pod, {
      serviceAccount: own,
      volumes: {
        shop: items('{ from: vault-self-reviewed, secret: kv/shop/api, key: token, path: token }'),
      },
    })
    const { message } = await place.waitForEvent(pod, /vault-self-reviewed/)
    t.regex(message, /AccessDenied/)
    const bind = ['create', 'clusterrolebinding', own, '--clusterrole=system:auth-delegator']
    await place.kubectl(...bind, `--serviceaccount=${place.namespace}:${own}`)
    t.teardown(() => place.kubectl('delete', 'clusterrolebinding', own))
    await place.waitForPod(pod, 90_000)
    t.is(await place.execText(pod, ['cat', '/volumes/shop/token']), 'a-token')
  },
)

nodeStory(
  'Vault’s audit log names the pod and its service account, and has the id of our own log line',
  async (t, node) => {
    const { place, podName, serviceAccount } = openShop(t)
    const own = await serviceAccount('audited')
    const pod = podName('audited')
    await place.applyConsumer(pod, { serviceAccount: own, volumes: { shop: items(TOKEN) } })
    await place.waitForPod(pod)
    const audited = node.vault
      .auditLines()
      .filter(({ type, auth }) => type === 'response' && auth?.metadata?.['pod'] === pod)
    const login = audited.find(({ request }) => request.path === LOGIN)
    const read = audited.find(({ request }) => request.path === 'kv/data/shop/api')
    t.is(login?.auth?.display_name, `jwt-system:serviceaccount:shop:${own}`)
    t.is(read?.auth?.display_name, `jwt-system:serviceaccount:shop:${own}`)
    const idOf = (line: typeof login): string | undefined =>
      line?.request.headers?.['x-correlation-id']?.[0]
    t.truthy(idOf(read))
    const line = (await logLines('daemon')).find(({ callId }) => callId === idOf(login))
    t.like(line, { operation: 'login', source: 'vault-open', requestId: login?.request.id })
  },
)

nodeStory('20 pods of 5 service accounts that start at once log in 5 times', async (t, node) => {
  const { place, podName, serviceAccount } = openShop(t)
  const accounts = await Promise.all(
    Array.from({ length: 5 }, (_, index) => serviceAccount(`many-${index}`)),
  )
  const pods = accounts.flatMap((account) =>
    Array.from({ length: 4 }, (_, index) => ({ name: podName(`${account}-${index}`), account })),
  )
  const begun = performance.now()
  await place.apply(
    ...pods.map(({ name, account }) =>
      consumerPod(name, cluster.consumerImage, {
        serviceAccount: account,
        volumes: { shop: items(TOKEN) },
      }),
    ),
  )
  for (const { name } of pods) await place.waitForPod(name, 150_000)
  t.log(`20 pods ran after ${Math.round(performance.now() - begun)} ms`)
  const names = new Set(pods.map(({ name }) => name))
  const logins = node.vault
    .auditLines()
    .filter(({ type, request }) => type === 'response' && request.path === LOGIN)
    .filter(({ auth }) => names.has(auth?.metadata?.['pod'] ?? ''))
  t.is(logins.length, 5)
  t.is(new Set(logins.map(({ auth }) => auth?.display_name)).size, 5)
})

nodeStory(
  'KV version 1 and 2, pinned, deleted and destroyed versions are told apart in a pod',
  async (t, node) => {
    const { place, podName, serviceAccount } = openShop(t)
    const path = `shop/versions-${randomBytes(3).toString('hex')}`
    await node.vault.run(['kv', 'put', `kv1/${path}`, 'word=first'])
    for (const word of ['one', 'two', 'three', 'four']) {
      await node.vault.run(['kv', 'put', `kv/${path}`, `word=${word}`])
    }
    await node.vault.run(['kv', 'delete', '-versions=2', `kv/${path}`])
    await node.vault.run(['kv', 'destroy', '-versions=3', `kv/${path}`])
    const own = await serviceAccount('versions')
    const common = `from: vault-open, role: shop-any, key: word`
    const good = podName('versions')
    await place.applyConsumer(good, {
      serviceAccount: own,
      volumes: {
        shop: items(
          `{ ${common}, secret: kv1/${path}, path: v1, refresh: 1s }`,
          `{ ${common}, secret: kv/${path}, path: latest, refresh: 1s }`,
          `{ ${common}, secret: kv/${path}, version: 1, path: pinned }`,
        ),
      },
    })
    const wrong = ['deleted', 'destroyed', 'missing'].map((name) => podName(name))
    for (const [index, version] of [2, 3, 9].entries()) {
      const volumes = { shop: items(`{ ${common}, secret: kv/${path}, version: ${version} }`) }
      await place.applyConsumer(wrong[index] ?? '', { serviceAccount: own, volumes })
    }
    await place.waitForPod(good)
    const read = (): Promise<string> =>
      place.execText(good, ['bash', '-c', 'cd /volumes/shop && paste -d " " v1 latest pinned'])
    t.is((await read()).trim(), 'first four one')
    await node.vault.run(['kv', 'put', `kv1/${path}`, 'word=second'])
    await node.vault.run(['kv', 'put', `kv/${path}`, 'word=five'])
    await until(async () => ((await read()).trim() === 'second five one' ? true : undefined), {
      what: 'both files to follow, and the pinned one not to',
      withinMs: 30_000,
    })
    const said = await Promise.all(
      wrong.map(async (pod) => (await place.waitForEvent(pod, /SecretNotFound/)).message),
    )
    t.log(said.join('\n'))
    t.regex(said[0] ?? '', /deleted/)
    t.regex(said[1] ?? '', /destroyed/)
    t.regex(said[2] ?? '', /no version|does not/)
  },
)

nodeStory(
  'no secret value and no token of Vault is in the logs of either side',
  async (t, node) => {
    const { place, podName, serviceAccount } = openShop(t)
    const canary = `canary-${randomBytes(16).toString('hex')}`
    await node.vault.run(['kv', 'put', `kv/shop/${canary.slice(0, 12)}`, `word=${canary}`])
    const pod = podName('canary')
    await place.applyConsumer(pod, {
      serviceAccount: await serviceAccount('canary'),
      volumes: {
        shop: items(
          `{ from: vault-open, role: shop-any, secret: kv/shop/${canary.slice(0, 12)}, key: word, path: word }`,
          '{ from: vault-open, role: shop-any, secret: database/creds/shop, dir: db }',
          '{ from: vault-open, role: shop-any, secret: pki/issue/shop, args: { common_name: a.shop.example }, dir: tls }',
        ),
      },
    })
    await place.waitForPod(pod)
    const script =
      'cd /volumes/shop; cat word; echo; cat db/password; echo; sed -n 2p tls/private_key'
    const secrets = (await place.execText(pod, ['bash', '-c', script])).trim().split('\n')
    t.is(secrets.length, 3)
    t.is(secrets[0], canary)
    await place.deletePod(pod)
    await untilUsers(node, 0, 20_000)
    const { metadata } = await latchkeyPod()
    for (const side of ['host', 'daemon']) {
      const log = await system.kubectl('logs', metadata.name, '-c', side)
      t.true(log.length > 0)
      for (const secret of secrets) {
        t.true(secret.length > 10)
        t.false(log.includes(secret), `${side} has logged a secret`)
      }
      t.notRegex(log, /\bhv[sbr]\.[\w-]{20}/, `${side} has logged a token of Vault`)
      t.notRegex(log, /\beyJ[\w-]{20,}\./, `${side} has logged a token of a pod`)
    }
  },
)

nodeStory(
  'the number of database users follows the number of pods, up and down',
  async (t, node) => {
    const { place, podName, serviceAccount } = openShop(t)
    const account = await serviceAccount('users')
    const pods = Array.from({ length: 5 }, (_, index) => podName(`users-${index}`))
    await place.apply(...pods.map((name) => databasePod(name, account, 'shop-any')))
    for (const pod of pods) await place.waitForPod(pod)
    t.is((await databaseUsers(node)).length, 5)
    await untilUsersAreOf(node, place, pods, 10_000)
    const [first = '', second = '', ...others] = pods
    await Promise.all([place.deletePod(first), place.deletePod(second)])
    const someMs = await untilUsersAreOf(node, place, others, 20_000)
    await Promise.all(others.map((pod) => place.deletePod(pod)))
    const allMs = await untilUsers(node, 0, 20_000)
    t.log(`users gone ${someMs} ms and ${allMs} ms after their pods were`)
  },
)

nodeStory('the double of Vault answers as this one does, case by case', async (t, node) => {
  const { program, pluginFolder } = node.vault.place
  const postgres = describePostgres(node, 'postgres-contract', CONTRACT_PORTS.postgres)
  // The cases mount, tune and take away engines as they like: a server of their own, and no data to keep.
  const address = `127.0.0.1:${CONTRACT_PORTS.vault}`
  const server = node.service('vault-contract', [
    ...['env', 'VAULT_DISABLE_MLOCK=1', program, 'server', '-dev', '-dev-no-store-token'],
    ...['-dev-root-token-id=root', `-dev-listen-address=${address}`],
    `-dev-plugin-dir=${pluginFolder}`,
  ])
  t.teardown(async () => {
    await server.stop()
    await postgres.service.stop()
  })
  server.start()
  await postgres.start()
  const env = {
    VAULT_ADDR: `http://${address}`,
    VAULT_TOKEN: 'root',
    VAULT_POSTGRES_PORT: String(postgres.port),
  }
  await until(() => node.run([program, 'token', 'lookup'], { env }), {
    what: 'the dev server to answer',
    withinMs: 60_000,
  })
  const ava = [process.execPath, join(PROJECT, 'node_modules/.bin/ava')]
  // Whoever enters the node's namespaces stands at their root.
  const there = ['bash', '-c', 'cd "$0" && exec "$@"', PROJECT]
  const { stdout } = await node.run(
    [...there, ...ava, 'test/daemon/sources/vault/real-vault.test.ts'],
    { env, timeoutMs: 240_000 },
  )
  t.regex(stdout.toString(), /\d+ tests passed/)
  // Vault without Enterprise has no namespaces.
  const skipped = stdout.toString().match(/\[skip\].*/g) ?? []
  t.deepEqual(
    skipped.filter((line) => !line.endsWith('(skipped: this server has none)')),
    [],
  )
  t.log(/\d+ tests passed/.exec(stdout.toString())?.[0])
})
