import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { volumeIdOf } from '../../src/core/volume-id.ts'
import { sourceOf } from '../../src/host/volume/mountinfo.ts'
import { unmountLazily } from '../../src/syscalls/mount-api.ts'
import { mountTest } from '../support/mount-namespace.ts'
import { mountTmpfs } from '../support/tmpfs-world.ts'
import { filesOf } from './generation-files.ts'
import { inspectNode, type Node } from './inspection.ts'

const UID = '0f9c3f06-6d1a-4f0e-8d7e-000000000001'
const FOLDER = '..2026_11_21_08_00_00.1234567890'

interface Doctored {
  readonly node: Node
  readonly target: string
  /** The current generation's folder. */
  readonly current: string
}

/** A node in good order, made by hand: one volume, its Secret at generation 2. */
function nodeInOrder(t: ExecutionContext): Doctored {
  const folder = mkdtempSync(join(tmpdir(), 'lk-'))
  const kubeletRoot = join(folder, 'kubelet')
  const target = join(kubeletRoot, 'pods', UID, 'volumes', 'kubernetes.io~csi', 'db', 'mount')
  const socket = join(folder, 'm', 'mount.sock')
  const volumeId = volumeIdOf(UID, 'db')
  mkdirSync(target, { recursive: true })
  mkdirSync(dirname(socket))
  writeFileSync(socket, '')
  writeFileSync(join(dirname(target), 'vol_data.json'), '{}')
  mountTmpfs(target, sourceOf(volumeId))
  t.teardown(() => {
    for (const mounted of [target, target]) unmountIfThere(mounted)
    rmSync(folder, { recursive: true, force: true })
  })
  mkdirSync(join(target, FOLDER))
  symlinkSync(FOLDER, join(target, '..data'))
  for (const [name, bytes] of Object.entries(filesOf('one', 2))) {
    writeFileSync(join(target, FOLDER, name), bytes)
    symlinkSync(`..data/${name}`, join(target, name))
  }
  const expected = [
    { volumeId, targetPath: target, generation: 2, filesOf: (n: number) => filesOf('one', n) },
  ]
  const node = { folder, kubeletRoot, own: [], sockets: [socket], expected }
  return { node, target, current: join(target, FOLDER) }
}

function unmountIfThere(target: string): void {
  try {
    unmountLazily(target)
  } catch {
    // The test has done so itself.
  }
}

/** The kinds of everything that is found, in order. */
function kindsIn(node: Node): readonly string[] {
  return [...inspectNode(node)].map(({ kind }) => kind)
}

mountTest('a node in good order has nothing to be found', (t) => {
  t.deepEqual([...inspectNode(nodeInOrder(t).node)], [])
})

mountTest('a mount that no pod wants any more is an orphan', (t) => {
  const { node } = nodeInOrder(t)
  t.true(kindsIn({ ...node, expected: [] }).includes('orphans'))
})

mountTest('a second mount upon the first is an orphan', (t) => {
  const { node, target, current } = nodeInOrder(t)
  mountTmpfs(target, sourceOf(volumeIdOf(UID, 'db')))
  t.true(kindsIn(node).includes('orphans'), current)
})

mountTest('a mount of something else at a volume’s place is an orphan', (t) => {
  const { node, target } = nodeInOrder(t)
  unmountLazily(target)
  mountTmpfs(target, 'somebody-else')
  t.true(kindsIn(node).includes('orphans'))
})

mountTest('what an ended pod leaves in kubelet’s folder is a leftover', (t) => {
  const { node, target } = nodeInOrder(t)
  unmountLazily(target)
  t.deepEqual(kindsIn({ ...node, expected: [] }), ['leftovers'])
})

for (const [what, path] of [
  ['a generation that was swapped out', '..2026_11_21_07_00_00.1234567890'],
  ['a link that was never renamed', '..data_tmp'],
  ['a visible name that the Secret does not have', 'gone'],
] as const) {
  mountTest(`${what} is a leftover`, (t) => {
    const { node, target } = nodeInOrder(t)
    symlinkSync('anywhere', join(target, path))
    t.deepEqual(kindsIn(node), ['leftovers'])
  })
}

mountTest('a socket under a hidden name is a leftover, a missing one is lost', (t) => {
  const { node } = nodeInOrder(t)
  const [socket = ''] = node.sockets
  renameSync(socket, join(dirname(socket), '.mount.sock.abcdef'))
  t.deepEqual(kindsIn(node), ['leftovers', 'lost'])
})

mountTest('a volume that is not mounted is empty', (t) => {
  const { node, target } = nodeInOrder(t)
  unmountLazily(target)
  t.deepEqual(kindsIn(node), ['empty'])
})

mountTest('a volume that lacks a file is empty', (t) => {
  const { node, current } = nodeInOrder(t)
  rmSync(join(current, 'page'))
  t.deepEqual(kindsIn(node), ['empty'])
})

mountTest('a file that lacks its last byte is empty', (t) => {
  const { node, current } = nodeInOrder(t)
  const { pages } = filesOf('one', 2)
  writeFileSync(join(current, 'pages'), pages?.subarray(0, -1) ?? '')
  t.deepEqual(kindsIn(node), ['empty'])
})

mountTest('files of two generations in one folder are torn', (t) => {
  const { node, current } = nodeInOrder(t)
  writeFileSync(join(current, 'page'), filesOf('one', 1)['page'] ?? '')
  t.deepEqual(kindsIn(node), ['torn'])
})

mountTest('a file that was zeroed is torn, whatever the others say', (t) => {
  const { node, current } = nodeInOrder(t)
  writeFileSync(join(current, 'pages'), Buffer.alloc(filesOf('one', 2)['pages']?.length ?? 0))
  t.deepEqual(kindsIn(node), ['torn'])
})

mountTest('one other byte in the last block is torn', (t) => {
  const { node, current } = nodeInOrder(t)
  const bytes = Buffer.from(filesOf('one', 2)['pages'] ?? '')
  bytes[bytes.length - 3] = 0
  writeFileSync(join(current, 'pages'), bytes)
  t.deepEqual(kindsIn(node), ['torn'])
})

mountTest('a file more than the generation has is torn', (t) => {
  const { node, current } = nodeInOrder(t)
  writeFileSync(join(current, 'odd'), filesOf('one', 2)['even'] ?? '')
  t.deepEqual(kindsIn(node), ['torn'])
})

mountTest('a volume that shows a whole but older generation has lost a change', (t) => {
  const { node } = nodeInOrder(t)
  const expected = node.expected.map((volume) => ({ ...volume, generation: 3 }))
  t.deepEqual(kindsIn({ ...node, expected }), ['lost'])
})
