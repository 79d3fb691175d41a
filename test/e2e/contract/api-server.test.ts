import { readFileSync } from 'node:fs'
import test from 'ava'
import { CONTRACT, type ContractApi } from '../../minicluster/api-contract.ts'
import { connectRemoteApi, type RemoteApi } from '../../minicluster/remote-api.ts'
import { DESCRIPTION_VARIABLE, type ClusterDescription } from '../cluster/cluster.ts'

/*
 * The same cases that hold for the API server in memory, on a real one: what the demo and the tests stand
 * on cannot drift from what production meets.
 */
const { kubeconfig, nodeName } = JSON.parse(
  process.env[DESCRIPTION_VARIABLE] ?? '{}',
) as ClusterDescription

interface Kubeconfig {
  readonly clusters: readonly { readonly cluster: Readonly<Record<string, string>> }[]
  readonly users: readonly { readonly user: Readonly<Record<string, string>> }[]
}

let remote: RemoteApi | undefined

test.before(async () => {
  const { clusters, users } = JSON.parse(readFileSync(kubeconfig, 'utf8')) as Kubeconfig
  const cluster = clusters[0]?.cluster ?? {}
  const user = users[0]?.user ?? {}
  const pem = (base64 = ''): string => Buffer.from(base64, 'base64').toString()
  remote = await connectRemoteApi({
    origin: cluster['server'] ?? '',
    authorityPem: pem(cluster['certificate-authority-data']),
    identity: {
      certPem: pem(user['client-certificate-data']),
      keyPem: pem(user['client-key-data']),
    },
    nodeName,
  })
})

test.after.always(() => remote?.cleanUp())

for (const { title, needs, run } of CONTRACT) {
  const name = `on kube-apiserver: ${title}`
  if (needs === undefined) test(name, (t) => run(t, contract()))
  else test.skip(`${name} (needs ${needs})`, () => undefined)
}

function contract(): ContractApi {
  if (remote === undefined) throw new Error('not connected')
  return remote.contract
}
