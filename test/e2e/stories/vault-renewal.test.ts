import { createHash, createHmac, createPrivateKey, pbkdf2Sync, X509Certificate } from 'node:crypto'

import { until } from '../cluster/until.ts'
import { nodeStory } from './support.ts'
import { items, openShop } from './vault.ts'
import { sightsOf, watching, type Sight } from './watcher.ts'

const SOURCE = 'from: vault-open, role: shop-any'
const CERTIFICATE_MS = 45_000
/** The max_ttl of database role `brief`. */
const USER_MS = 60_000
/** Vault ends leases one by one, on a busy machine. */
const REVOCATION_MS = 15_000

nodeStory(
  'a certificate is renewed in the running pod at two thirds of its life, its key with it',
  async (t) => {
    const { place, podName, serviceAccount } = openShop(t)
    const pod = podName('renewed')
    const args = `args: { common_name: a.shop.example, ttl: ${CERTIFICATE_MS / 1000}s }`
    await place.applyConsumer(pod, {
      serviceAccount: await serviceAccount('renewed'),
      volumes: { shop: items(`{ ${SOURCE}, secret: pki/issue/shop, ${args}, dir: tls }`) },
      container: watching('shop', ['tls/certificate', 'tls/private_key']),
    })
    await place.waitForPod(pod)
    const sights = await until(
      async () => {
        const seen = await sightsOf(place, pod)
        return seen.length >= 3 ? seen : undefined
      },
      { what: 'two renewals', withinMs: 2 * CERTIFICATE_MS, everyMs: 1_000 },
    )
    const certificates = sights.map(({ files: [certificate = '', key = ''] }) => {
      const parsed = new X509Certificate(certificate)
      t.true(parsed.checkPrivateKey(createPrivateKey(key)), 'certificate and key are a pair')
      return parsed
    })
    t.is(new Set(certificates.map(({ serialNumber }) => serialNumber)).size, sights.length)
    t.is(generations(sights), sights.length, 'each pair came in one swap')
    for (const [index, certificate] of certificates.slice(0, -1).entries()) {
      const leftMs = certificate.validToDate.getTime() - (sights[index + 1]?.atMs ?? Infinity)
      t.log(`renewed ${Math.round(leftMs)} ms before the end of ${CERTIFICATE_MS} ms`)
      // A third of its life, give or take the tenth that volumes are spread over, and a busy machine.
      t.true(leftMs > 0 && leftMs < CERTIFICATE_MS / 2, `${leftMs}`)
    }
  },
)

nodeStory(
  'a database user that may live no longer is replaced in the running pod by one swap, before it ends',
  async (t, node) => {
    const { place, podName, serviceAccount } = openShop(t)
    const pod = podName('replaced')
    await place.applyConsumer(pod, {
      serviceAccount: await serviceAccount('replaced'),
      volumes: { shop: items(`{ ${SOURCE}, secret: database/creds/brief, dir: db }`) },
      container: watching('shop', ['db/username', 'db/password']),
    })
    await place.waitForPod(pod)

    const secretOf = new Map<string, string>()
    const aliveAtMs = new Map<string, number>()
    let most = 0
    const look = async (): Promise<readonly string[]> => {
      const startedMs = Date.now()
      const sql = "SELECT rolname || ' ' || rolpassword FROM pg_authid WHERE rolname LIKE 'brief-%'"
      const rows = (await node.postgres.query(sql)).map((row) => row.split(' '))
      for (const [user = '', secret = ''] of rows) {
        secretOf.set(user, secret)
        aliveAtMs.set(user, startedMs)
      }
      most = Math.max(most, rows.length)
      return rows.map(([user = '']) => user)
    }
    const sights = await until(
      async () => {
        const users = await look()
        const seen = await sightsOf(place, pod)
        const [former, newer] = seen.map(({ files: [user = ''] }) => user)
        return newer !== undefined && !users.includes(former ?? '') ? seen : undefined
      },
      {
        what: 'another user, and the end of the former one',
        withinMs: USER_MS + REVOCATION_MS,
        everyMs: 300,
      },
    )

    t.is(sights.length, 2, 'one swap')
    t.is(generations(sights), 2)
    for (const { files } of sights) {
      const [user = '', password = ''] = files
      t.true(isPasswordOf(secretOf.get(user), password), 'user and password belong together')
    }
    const [former, newer] = sights.map(({ files: [user = ''] }) => user)
    const swappedAtMs = sights[1]?.atMs ?? Infinity
    const overlapMs = (aliveAtMs.get(former ?? '') ?? 0) - swappedAtMs
    t.true(overlapMs > 0, 'the former one was still there when the pod saw the new one')
    t.is(most, 2)
    t.deepEqual(await look(), [newer])
    const livedMs = swappedAtMs - (sights[0]?.atMs ?? 0)
    t.log(
      `replaced after ${Math.round(livedMs)} ms of ${USER_MS}; the former user was there ${Math.round(overlapMs)} ms longer`,
    )
    t.true(livedMs > 0.75 * USER_MS, 'it was renewed first')

    await place.deletePod(pod)
    await until(async () => ((await look()).length === 0 ? true : undefined), {
      what: 'the user to be given back',
      withinMs: 20_000,
    })
  },
)

function generations(sights: readonly Sight[]): number {
  return new Set(sights.map(({ generation }) => generation)).size
}

/** Whether PostgreSQL would let in who shows it: what it keeps is made from the password (RFC 5803). */
function isPasswordOf(kept: string | undefined, password: string): boolean {
  const [, rounds = '', salt = '', storedKey = ''] =
    /^SCRAM-SHA-256\$(\d+):([^$]+)\$([^:]+):/.exec(kept ?? '') ?? []
  if (rounds === '') return false
  const salted = pbkdf2Sync(password, Buffer.from(salt, 'base64'), Number(rounds), 32, 'sha256')
  const clientKey = createHmac('sha256', salted).update('Client Key').digest()
  return createHash('sha256').update(clientKey).digest('base64') === storedKey
}
