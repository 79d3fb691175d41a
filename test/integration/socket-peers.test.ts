import { once } from 'node:events'
import { chmodSync, mkdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { loadConfig } from '../../src/config/load.ts'
import { systemClock } from '../../src/core/clock.ts'
import { loadKubeconfig } from '../../src/daemon/kube/kubeconfig.ts'
import { createKubeClient } from '../../src/daemon/kube/create-client.ts'
import { startDaemon } from '../../src/daemon/start-daemon.ts'
import { startHost } from '../../src/host/start-host.ts'
import { DirectoryStore } from '../../src/host/volume/directory-store.ts'
import { startMinicluster } from '../../src/minicluster/minicluster.ts'
import { createLogger } from '../../src/observability/log.ts'
import { createMountClient } from '../../src/wire/mount-client.ts'
import { outcomeOfDial } from '../support/dial.ts'
import { tempDir } from '../support/temp-dir.ts'
import { until } from '../support/until.ts'

const OWN_UID = process.getuid?.() ?? -1
const OTHER_UID = 65_534

async function startedDaemon(t: ExecutionContext, shimUid: number): Promise<string> {
  const folder = tempDir(t)
  const cluster = await startMinicluster({ root: folder })
  const path = join(folder, 'm/mount.sock')
  const kube = createKubeClient({
    connection: loadKubeconfig(cluster.kubeconfigFile),
    clock: systemClock,
  })
  const daemon = await startDaemon({
    config: {
      ...loadConfig({}),
      kubelet: { root: cluster.kubeletRoot },
      sockets: { mount: path },
      http: { address: '127.0.0.1', port: 0 },
    },
    nodeName: cluster.nodeName,
    version: '0.0.0-test',
    kube,
    clock: systemClock,
    log: createLogger({ level: 'silent', side: 'daemon' }),
    shimUid,
  })
  t.teardown(async () => {
    await daemon.stop()
    await cluster.stop()
  })
  return path
}

async function startedHost(t: ExecutionContext, changes: Changes) {
  const root = tempDir(t)
  mkdirSync(`${root}/plugins_registry`)
  const { mount = join(root, 'nobody/mount.sock'), ...uids } = changes
  const lines: string[] = []
  const host = await startHost({
    config: { ...loadConfig({}), kubelet: { root }, sockets: { mount } },
    nodeName: 'node-1',
    version: '0.0.0-test',
    store: new DirectoryStore({ kubeletRoot: root, now: () => new Date() }),
    clock: systemClock,
    log: createLogger({ level: 'info', side: 'host', write: (line) => lines.push(line) }),
    kubeletUid: OWN_UID,
    ...uids,
  })
  t.teardown(() => host.stop())
  return { root, lines }
}

interface Changes {
  readonly mount?: string
  readonly kubeletUid?: number
  readonly daemonUid?: number
}

test('the daemon hangs up on a caller that is not the shims’ user, before a byte', async (t) => {
  const path = await startedDaemon(t, OTHER_UID)
  t.is(await outcomeOfDial(path), 'hung up on')
  const client = createMountClient(path)
  const error = await t.throwsAsync(client.list(10_000))
  t.regex(String(error), /daemon on this node is not there/)
  client.close()
})

/** Needs to become somebody else. */
function rootTest(title: string, implementation: (t: ExecutionContext) => Promise<void>): void {
  if (OWN_UID === 0) test(title, implementation)
  else test.skip(`${title} (needs root)`, implementation)
}

rootTest('root’s daemon hangs up on another user even where the folder lets it in', async (t) => {
  const path = await startedDaemon(t, 0)
  t.is(await outcomeOfDial(path), 'greeted')
  for (const open of [dirname(dirname(path)), dirname(path), path]) chmodSync(open, 0o777)
  process.seteuid?.(OTHER_UID)
  // connect(2) happens within this call, and the kernel notes who made it.
  const outcome = outcomeOfDial(path)
  process.seteuid?.(0)
  t.is(await outcome, 'hung up on')
})

test('the host side hangs up on a caller that is not kubelet’s user, before a byte', async (t) => {
  const { root } = await startedHost(t, { kubeletUid: OTHER_UID })
  const driver = 'csi.latchkey.dev'
  t.is(await outcomeOfDial(`${root}/plugins/${driver}/csi.sock`), 'hung up on')
  t.is(await outcomeOfDial(`${root}/plugins_registry/${driver}-reg.sock`), 'hung up on')
})

test('the host side says nothing to a daemon of another user, says so once, and tries on', async (t) => {
  const mount = `${tempDir(t)}/own/mount.sock`
  mkdirSync(dirname(mount), { mode: 0o700 })
  let bytes = 0
  const server = createServer((socket) => {
    socket.on('data', (chunk) => {
      bytes += chunk.length
    })
  })
  server.listen(mount)
  await once(server, 'listening')
  chmodSync(mount, 0o600)
  t.teardown(() => server.close())
  const { lines } = await startedHost(t, { mount, daemonUid: OTHER_UID })
  const refusals = (): string[] => lines.filter((line) => line.includes('mount socket refused'))
  await until(() => refusals().length > 0, { what: 'the refusal to be logged' })
  const [line = ''] = refusals()
  const { level, reason } = JSON.parse(line) as { level: string; reason: string }
  t.deepEqual({ level, reason }, { level: 'error', reason: 'AccessDenied' })
  t.regex(line, new RegExp(`own is of uid ${OWN_UID}, and not of 65534`))
  t.is(refusals().length, 1)
  t.is(bytes, 0)
})
