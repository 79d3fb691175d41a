import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import type { ExecutionContext } from 'ava'
import type { ClusterConnection } from '../../../src/daemon/kube/cluster-connection.ts'
import { startApiServer } from './api-server.ts'
import { makeAuthority, makeLeaf } from './authorities.ts'
import type { Leaf } from './authorities.ts'
import { PROTOBUF, secretBytes } from './kubernetes-bytes.ts'
import type { ServerOptions, World } from './kube-world.ts'
import { DB, assertFails, clientOf, makeWorld, never, podToken } from './kube-world.ts'

const answer: ServerOptions = {
  answer: (_call, to) => {
    to.send(200, PROTOBUF, secretBytes())
  },
}

async function read(t: ExecutionContext, connection: ClusterConnection): Promise<unknown> {
  return clientOf(t, connection).readSecret(DB, podToken(), never())
}

/** A second server of the same world, with another certificate. */
async function withLeaf(t: ExecutionContext, world: World, leaf: Leaf): Promise<string> {
  const identity = makeLeaf(world.folder, 'leaf', world.authority, leaf)
  const { port } = await startApiServer(t, { ...answer, identity })
  return `https://127.0.0.1:${port}`
}

test("the cluster's own CA is believed", async (t) => {
  const { connection } = await makeWorld(t, answer)
  await t.notThrowsAsync(read(t, connection))
})

test('a server that another CA vouches for is refused before anything is sent', async (t) => {
  const { connection, folder, server } = await makeWorld(t, answer)
  const other = makeAuthority(folder, 'other')
  const refused = read(t, { ...connection, authority: { given: other.cert } })
  await assertFails(
    t,
    refused,
    'KubeUnavailable',
    /^no connection to the API server \([A-Z_]*(CERT|SIGNATURE|ISSUER)[A-Z_]*\)$/,
  )
  t.deepEqual(server.calls, [])
})

test('a certificate for another name is refused', async (t) => {
  const world = await makeWorld(t, answer)
  for (const san of ['IP:127.0.0.2', 'DNS:api.example', 'DNS:127.0.0.1']) {
    const origin = await withLeaf(t, world, { subject: '/CN=127.0.0.1', san })
    const refused = read(t, { ...world.connection, origin })
    await assertFails(t, refused, 'KubeUnavailable', /\(ERR_TLS_CERT_ALTNAME_INVALID\)/)
  }
})

test('an expired certificate is refused', async (t) => {
  const world = await makeWorld(t, answer)
  const origin = await withLeaf(t, world, { subject: '/CN=api', san: 'IP:127.0.0.1', days: -1 })
  await assertFails(
    t,
    read(t, { ...world.connection, origin }),
    'KubeUnavailable',
    /\(CERT_HAS_EXPIRED\)/,
  )
})

test('a name given apart from the address is the one that is looked for', async (t) => {
  const world = await makeWorld(t, answer)
  const origin = await withLeaf(t, world, { subject: '/CN=api', san: 'DNS:api.example' })
  const named = (serverName: string): ClusterConnection => ({
    ...world.connection,
    origin,
    serverName,
  })
  await t.notThrowsAsync(read(t, named('api.example')))
  await assertFails(t, read(t, named('api.other')), 'KubeUnavailable', /ALTNAME/)
})

test.serial('the environment cannot switch verification off', async (t) => {
  const { connection, folder } = await makeWorld(t, answer)
  const other = makeAuthority(folder, 'other')
  setEnvironment(t, { NODE_TLS_REJECT_UNAUTHORIZED: '0' })
  const refused = read(t, { ...connection, authority: { given: other.cert } })
  await assertFails(t, refused, 'KubeUnavailable', /./)
})

test.serial('the environment cannot put a proxy in between', async (t) => {
  const { connection } = await makeWorld(t, answer)
  const proxy = 'http://127.0.0.1:1'
  setEnvironment(t, {
    HTTPS_PROXY: proxy,
    https_proxy: proxy,
    ALL_PROXY: proxy,
    NO_PROXY: '',
    NODE_USE_ENV_PROXY: '1',
  })
  await t.notThrowsAsync(read(t, connection))
})

function setEnvironment(t: ExecutionContext, values: Readonly<Record<string, string>>): void {
  const before = Object.keys(values).map((name) => [name, process.env[name]] as const)
  t.teardown(() => {
    for (const [name, value] of before) {
      if (value === undefined) Reflect.deleteProperty(process.env, name)
      else process.env[name] = value
    }
  })
  Object.assign(process.env, values)
}

test('a CA that is exchanged in its file is believed from the next connection on, the old one no more', async (t) => {
  const world = await makeWorld(t, answer)
  const file = join(world.folder, 'ca-in-use.crt')
  const newAuthority = makeAuthority(world.folder, 'new-ca')
  const identity = makeLeaf(world.folder, 'new-leaf', newAuthority, {
    subject: '/CN=api',
    san: 'IP:127.0.0.1',
  })
  const newServer = await startApiServer(t, { ...answer, identity })
  const connection = { ...world.connection, authority: { file } }
  const oldAndNew = [connection.origin, `https://127.0.0.1:${newServer.port}`]

  writeFileSync(file, world.authority.cert)
  const outcomes = async (): Promise<boolean[]> =>
    Promise.all(
      oldAndNew.map((origin) =>
        read(t, { ...connection, origin }).then(
          () => true,
          () => false,
        ),
      ),
    )
  t.deepEqual(await outcomes(), [true, false])
  writeFileSync(file, newAuthority.cert)
  t.deepEqual(await outcomes(), [false, true])
})

test('a running client follows its CA file', async (t) => {
  const world = await makeWorld(t, {
    answer: (_call, to) => {
      // One answer a connection, so that each call has to open its own.
      to.sendAndClose(200, PROTOBUF, secretBytes())
    },
  })
  const file = join(world.folder, 'ca-in-use.crt')
  const other = makeAuthority(world.folder, 'other')
  writeFileSync(file, other.cert)
  const client = clientOf(t, { ...world.connection, authority: { file } })
  const readNow = (): Promise<unknown> => client.readSecret(DB, podToken(), never())
  await assertFails(t, readNow(), 'KubeUnavailable', /./)
  writeFileSync(file, world.authority.cert)
  await t.notThrowsAsync(readNow())
  const message = /the cluster's CA file .*ca-in-use\.crt cannot be used/
  for (const bad of ['', 'not a certificate']) {
    writeFileSync(file, bad)
    await assertFails(t, readNow(), 'KubeUnavailable', message)
  }
})
