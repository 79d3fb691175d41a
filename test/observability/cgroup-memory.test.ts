import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { readCgroupMemory, type CgroupFiles } from '../../src/observability/cgroup-memory.ts'
import { tempDir } from '../support/temp-dir.ts'

/** Files of a cgroup tree, and what /proc/self/cgroup says. */
function treeOf(
  t: ExecutionContext,
  membership: string,
  files: Readonly<Record<string, string>>,
): CgroupFiles {
  const folder = tempDir(t)
  const root = join(folder, 'cgroup')
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true })
    writeFileSync(join(root, name), text)
  }
  writeFileSync(join(folder, 'self'), membership)
  return { root, membership: join(folder, 'self') }
}

test('with cgroup v2 a container sees its own cgroup as the root', (t) => {
  const tree = treeOf(t, '0::/\n', {
    'cgroup.controllers': 'memory\n',
    'memory.max': '1000\n',
    'memory.current': '700\n',
    'memory.stat': 'anon 500\ninactive_file 200\nactive_file 0\n',
  })
  t.deepEqual(readCgroupMemory(tree), { limitBytes: 1000, usedBytes: 500 })
})

test('with cgroup v2 a privileged container finds its place in the tree of the node', (t) => {
  const tree = treeOf(t, '0::/kubepods/pod1/c1\n', {
    'cgroup.controllers': '',
    'kubepods/memory.max': 'max\n',
    'kubepods/pod1/memory.max': '900\n',
    'kubepods/pod1/c1/memory.max': '1000\n',
    'kubepods/pod1/c1/memory.current': '300\n',
  })
  t.deepEqual(readCgroupMemory(tree), { limitBytes: 900, usedBytes: 300 })
})

test('a cgroup without a limit has none', (t) => {
  const tree = treeOf(t, '0::/\n', {
    'cgroup.controllers': '',
    'memory.max': 'max\n',
    'memory.current': '300\n',
  })
  t.deepEqual(readCgroupMemory(tree), { limitBytes: undefined, usedBytes: 300 })
})

test('with cgroup v1 the hierarchy of memory counts, at the place where the container has it', (t) => {
  const membership = '5:cpu,cpuacct:/kubepods/c1\n4:memory:/kubepods/c1\n0::/\n'
  const files = (limit: string) => ({
    'memory/memory.limit_in_bytes': limit,
    'memory/memory.usage_in_bytes': '700\n',
    'memory/memory.stat': 'inactive_file 1\ntotal_inactive_file 100\n',
  })
  const bound = treeOf(t, membership, files('1000\n'))
  t.deepEqual(readCgroupMemory(bound), { limitBytes: 1000, usedBytes: 600 })
  const unbound = treeOf(t, membership, files('9223372036854771712\n'))
  t.deepEqual(readCgroupMemory(unbound), { limitBytes: undefined, usedBytes: 600 })
})

test('where no cgroup can be read nothing is said', (t) => {
  t.is(readCgroupMemory(treeOf(t, '', {})), undefined)
  t.is(readCgroupMemory(treeOf(t, '0::/\n', { 'cgroup.controllers': '' })), undefined)
  t.is(readCgroupMemory({ root: '/nowhere', membership: '/nowhere/self' }), undefined)
})
