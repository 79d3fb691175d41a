import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
} from 'node:fs'
import type { ExecutionContext } from 'ava'
import { systemClock } from '../../src/core/clock.ts'
import { loadCsi, loadMount } from '../../src/wire/protos.ts'
import { unixChannel } from '../../src/wire/unix-channel.ts'
import { UnixServer } from '../../src/wire/unix-server.ts'
import { LatchkeyProcess } from '../support/latchkey-process.ts'
import { mountTest } from '../support/mount-namespace.ts'
import { tempDir } from '../support/temp-dir.ts'
import { until } from '../support/until.ts'

const NETWORK_LEFT = 'network left: no thread of this process has one'

async function startedHost(t: ExecutionContext, env: Readonly<Record<string, string>> = {}) {
  const folder = tempDir(t)
  for (const name of ['plugins', 'plugins_registry', 'pods']) {
    mkdirSync(`${folder}/k/${name}`, { recursive: true })
  }
  const mount = `${folder}/m/mount.sock`
  const config = { kubelet: { root: `${folder}/k` }, sockets: { mount } }
  writeFileSync(`${folder}/c.yaml`, JSON.stringify(config))
  const host = new LatchkeyProcess({
    args: ['host', '--config', `${folder}/c.yaml`],
    env: { NODE_NAME: 'node-1', ...env },
  })
  t.teardown(() => host.stop())
  await host.untilLogs('host side started')
  return { host, mount, csi: `${folder}/k/plugins/csi.latchkey.dev/csi.sock` }
}

function namespacesOf(pid: number): readonly string[] {
  const tasks = readdirSync(`/proc/${pid}/task`)
  return [...new Set(tasks.map((task) => readlinkSync(`/proc/${pid}/task/${task}/ns/net`)))]
}

/** Names of interfaces, as proc_pid_net(5) has them below two lines of headings. */
function interfacesOf(pid: number): readonly string[] {
  const lines = readFileSync(`/proc/${pid}/net/dev`, 'utf8').trim().split('\n').slice(2)
  return lines.map((line) => line.split(':')[0]?.trim() ?? '')
}

function addressesOf(pid: number): string {
  const file = `/proc/${pid}/net/if_inet6`
  return existsSync(file) ? readFileSync(file, 'utf8') : ''
}

/** kubelet's question whether the driver is there, asked from outside of the host side's namespace. */
function probe(path: string): Promise<boolean> {
  const { target, credentials, options } = unixChannel(path, 1024)
  const client = new (loadCsi().Identity)(target, credentials, options)
  return new Promise<boolean>((resolve, reject) => {
    client.probe({}, { deadline: Date.now() + 10_000 }, (error, answer) => {
      client.close()
      if (error === null) resolve(answer?.ready?.value === true)
      else reject(error)
    })
  })
}

/** A daemon that listens in this process's own network namespace; answers how many hosts have called. */
async function countHosts(t: ExecutionContext, path: string): Promise<() => number> {
  let count = 0
  const handlers = {
    Report: () => {
      count += 1
    },
  }
  const server = await UnixServer.listen({
    path,
    services: [{ definition: loadMount().MountService.service, handlers }],
    maxMessageBytes: 1024 * 1024,
    maxConnections: 16,
    ownsFolder: true,
    admits: () => true,
    clock: systemClock,
  })
  t.teardown(() => server.close(0))
  return () => count
}

mountTest(
  'no thread of the host side has a network, and its sockets work all the same',
  async (t) => {
    const { host, mount, csi } = await startedHost(t)
    t.true(host.output.stdout.includes(NETWORK_LEFT), host.output.stdout)
    const own = readlinkSync('/proc/self/ns/net')
    const namespaces = namespacesOf(host.pid)
    t.is(namespaces.length, 1)
    t.not(namespaces[0], own)
    // Tunnels that a kernel puts into every new namespace are down, as lo is.
    t.false(interfacesOf(host.pid).some((name) => name.startsWith('e')))
    t.is(readFileSync(`/proc/${host.pid}/net/route`, 'utf8').trim().split('\n').length, 1)
    t.is(addressesOf(host.pid), '')

    t.true(await probe(csi), 'kubelet reaches the host side')
    const hosts = await countHosts(t, mount)
    await until(() => hosts() > 0, { what: 'the host side to reach the daemon' })
  },
)

mountTest('a mark in the environment leaves nothing by itself, and that is said', async (t) => {
  t.timeout(60_000)
  const { host } = await startedHost(t, { LATCHKEY_NETWORK: 'left' })
  t.false(host.output.stdout.includes(NETWORK_LEFT))
  t.regex(host.output.stdout, /"reason":"there is .*network kept/)
})
