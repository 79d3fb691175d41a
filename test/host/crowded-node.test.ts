import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { dirname } from 'node:path'
import type { ExecutionContext } from 'ava'
import { unmountLazily } from '../../src/syscalls/mount-api.ts'
import { createCaller, startCrowdedHost } from '../support/crowded-node.ts'
import { mountTest } from '../support/mount-namespace.ts'
import { tempDir } from '../support/temp-dir.ts'
import { mountsBelow } from '../support/tmpfs-world.ts'
import { until } from '../support/until.ts'

const VOLUMES = 250
const ALL = Array.from({ length: VOLUMES }, (_, index) => index)

async function crowdedNode(t: ExecutionContext) {
  const kubeletRoot = tempDir(t)
  const host = await startCrowdedHost(kubeletRoot, { password: 'hunter2', 'deep/key': 'k' })
  t.teardown(async () => {
    await host.stop()
    for (const { mountPoint } of mountsBelow(kubeletRoot)) unmountLazily(mountPoint)
  })
  return { node: createCaller(kubeletRoot), kubeletRoot }
}

mountTest(
  '250 volumes are published at once and unpublished at once, and nothing is left',
  async (t) => {
    t.timeout(120_000)
    const { node, kubeletRoot } = await crowdedNode(t)
    await Promise.all(ALL.map((index) => node.publish(index)))
    t.is(mountsBelow(kubeletRoot).length, VOLUMES)
    for (const index of ALL) {
      t.is(readFileSync(`${node.volume(index).targetPath}/deep/key`, 'utf8'), 'k')
    }
    // Each one twice: kubelet asks again when it has not heard the answer.
    await Promise.all([...ALL, ...ALL].map((index) => node.unpublish(index)))
    t.deepEqual(mountsBelow(kubeletRoot), [])
    for (const index of ALL) {
      const parent = dirname(node.volume(index).targetPath)
      t.deepEqual(readdirSync(parent), [], 'kubelet’s folder is empty, and stays its own')
    }
    await node.unpublish(0)
    t.deepEqual(
      openPaths().filter((path) => path.startsWith(`${kubeletRoot}/pods`)),
      [],
    )
  },
)

mountTest(
  'who stands in a volume with a file open loses the file’s bytes, and holds nobody up',
  async (t) => {
    const { node, kubeletRoot } = await crowdedNode(t)
    await node.publish(0)
    const { targetPath } = node.volume(0)
    const busy = spawn('sh', ['-c', 'exec 9<password; echo ready; read line; cat <&9'], {
      cwd: targetPath,
    })
    t.teardown(() => busy.kill('SIGKILL'))
    let output = ''
    busy.stdout.on('data', (chunk: Buffer) => (output += chunk.toString('latin1')))
    await until(() => output === 'ready\n', { what: 'the process to stand in the volume' })
    await node.unpublish(0)
    t.deepEqual(mountsBelow(kubeletRoot), [])
    t.false(existsSync(targetPath))
    t.deepEqual(readdirSync(`/proc/${busy.pid ?? 0}/cwd/`), [])
    busy.stdin.end('\n')
    await until(() => output.length === 'ready\n'.length + 7, { what: 'the process to read' })
    t.is(output, `ready\n${'\0'.repeat(7)}`)
    // The place is free for a next volume at once.
    mkdirSync(dirname(targetPath), { recursive: true })
    await node.publish(0)
    t.is(readFileSync(`${targetPath}/password`, 'utf8'), 'hunter2')
  },
)

/** Where this process' open descriptors lead. */
function openPaths(): readonly string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)]
    } catch {
      // The one that lists them.
      return []
    }
  })
}
