import { spawnSync } from 'node:child_process'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { contentsDigest } from '../../../src/core/contents-digest.ts'
import { LatchkeyError } from '../../../src/core/errors.ts'
import { withFsFaults } from '../../support/fs-faults.ts'
import { mountTest, mountTestWithOwners } from '../../support/mount-namespace.ts'
import {
  firstFiles,
  mountsBelow,
  mountTmpfs,
  secondFiles,
  tmpfsWorld,
} from '../../support/tmpfs-world.ts'
import { fileOf, listing, readText, volumeAt } from '../../support/volumes.ts'

const MIB = 1024 * 1024

mountTest('a volume has the layout, modes and owners of a Secret volume of kubelet', (t) => {
  const { store, volume } = tmpfsWorld(t)
  const umask = process.umask(0o077)
  store.create(volume, [fileOf('password', 'one'), fileOf('.dotted', ''), fileOf('db/key', 'k')])
  process.umask(umask)
  t.is((statSync(volume.targetPath).mode & 0o7777).toString(8), '1777')
  t.deepEqual(listing(volume.targetPath), [
    '- 644 0:0 GEN/.dotted',
    '- 644 0:0 GEN/db/key',
    '- 644 0:0 GEN/password',
    'd 755 0:0 GEN',
    'd 755 0:0 GEN/db',
    'l 777 0:0 ..data -> GEN',
    'l 777 0:0 .dotted -> ..data/.dotted',
    'l 777 0:0 db -> ..data/db',
    'l 777 0:0 password -> ..data/password',
  ])
})

mountTestWithOwners('with fsGroup the group owns all of it, and folders pass the group on', (t) => {
  const { kubeletRoot, store } = tmpfsWorld(t)
  const volume = volumeAt(kubeletRoot, 'db', 2000)
  store.create(volume, [
    fileOf('password', 'one', { mode: 0o440 }),
    fileOf('db/key', 'k', { ownerUid: 1000 }),
  ])
  const root = statSync(volume.targetPath)
  t.is(`${(root.mode & 0o7777).toString(8)} ${root.uid}:${root.gid}`, '3777 0:2000')
  t.deepEqual(listing(volume.targetPath), [
    '- 440 0:2000 GEN/password',
    '- 644 1000:2000 GEN/db/key',
    'd 2755 0:2000 GEN',
    'd 2755 0:2000 GEN/db',
    'l 777 0:2000 ..data -> GEN',
    'l 777 0:2000 db -> ..data/db',
    'l 777 0:2000 password -> ..data/password',
  ])
})

mountTest('the mount is a read-only tmpfs of its own that names its volume', (t) => {
  const { store, volume } = tmpfsWorld(t)
  store.create(volume, firstFiles())
  const line = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .find((text) => text.includes(volume.targetPath))
  t.regex(line ?? '', / ro,nosuid,nodev,noexec/)
  t.regex(line ?? '', new RegExp(`- tmpfs latchkey:1:${volume.volumeId} rw,.*size=`))
  t.throws(
    () => {
      writeFileSync(`${volume.targetPath}/x`, 'x')
    },
    { code: 'EROFS' },
  )
  t.true(store.isMounted(volume))
})

mountTest('bytes come back as they went in: binary, empty, a whole MiB', (t) => {
  const { store, volume } = tmpfsWorld(t)
  const binary = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
  const large = Buffer.alloc(MIB, 7)
  store.create(volume, [fileOf('binary', binary), fileOf('empty', ''), fileOf('large', large)])
  t.deepEqual(readFileSync(`${volume.targetPath}/binary`), binary)
  t.is(readText(volume, 'empty'), '')
  t.true(readFileSync(`${volume.targetPath}/large`).equals(large))
})

mountTest('the digest read back is that of what was written, modes included', (t) => {
  const { store, volume } = tmpfsWorld(t)
  const files = [fileOf('a/b/c', 'x', { mode: 0o400 }), fileOf('z', 'y', { mode: 0o755 })]
  store.create(volume, files)
  t.deepEqual(store.digest(volume), contentsDigest(files))
})

mountTestWithOwners('the digest read back knows the owners too', (t) => {
  const { store, volume } = tmpfsWorld(t)
  const files = [fileOf('a', 'x', { ownerUid: 1000 }), fileOf('b', 'y')]
  store.create(volume, files)
  t.deepEqual(store.digest(volume), contentsDigest(files))
})

mountTest('a volume without files is a volume all the same', (t) => {
  const { store, volume } = tmpfsWorld(t)
  store.create(volume, [])
  t.deepEqual(store.digest(volume), contentsDigest([]))
  store.swap(volume, firstFiles())
  t.is(readText(volume, 'password'), 'one')
})

mountTest('a create that does not fit leaves no mount and no folder', (t) => {
  const { kubeletRoot, store, volume } = tmpfsWorld(t, 4096)
  const error = t.throws(() => {
    store.create(volume, [fileOf('huge', Buffer.alloc(64 * MIB))])
  })
  t.like(LatchkeyError.from(error), {
    reason: 'VolumeIo',
    leftMounted: false,
    message: 'building the volume failed: ENOSPC, the volume is full',
  })
  t.deepEqual(mountsBelow(kubeletRoot), [])
  t.false(existsSync(volume.targetPath))
})

mountTest('a create that fails at any change leaves no mount, no folder and no descriptor', (t) => {
  const { kubeletRoot, store, volume } = tmpfsWorld(t)
  const descriptors = (): number => readdirSync('/proc/self/fd').length
  const before = descriptors()
  for (let change = 1; ; change += 1) {
    let changes = 0
    const create = (): void => {
      withFsFaults(
        () => {
          changes += 1
          if (changes === change) throw new Error('as told')
        },
        () => {
          store.create(volume, firstFiles())
        },
      )
    }
    try {
      create()
    } catch (thrown) {
      t.is(LatchkeyError.from(thrown).reason, 'VolumeIo')
      t.deepEqual(mountsBelow(kubeletRoot), [], `change ${change}`)
      t.false(existsSync(volume.targetPath), `change ${change}`)
      t.is(descriptors(), before, `change ${change}`)
      continue
    }
    t.true(change > 10)
    break
  }
})

for (const [what, prepare, message] of [
  [
    'a folder that is not empty',
    (path: string) => mkdirSync(`${path}/x`, { recursive: true }),
    /not empty/,
  ],
  [
    'a file',
    (path: string) => {
      writeFileSync(path, 'precious')
    },
    /no folder/,
  ],
  [
    'a link',
    (path: string) => {
      symlinkSync('/tmp', path)
    },
    /no folder/,
  ],
] as const) {
  mountTest(`${what} at the target is refused, and left alone by create and remove`, (t) => {
    const { kubeletRoot, store, volume } = tmpfsWorld(t)
    prepare(volume.targetPath)
    const before = lstatSync(volume.targetPath)
    const created = t.throws(() => {
      store.create(volume, firstFiles())
    })
    t.like(LatchkeyError.from(created), { reason: 'VolumeIo' })
    t.regex(created.message, message)
    const removed = t.throws(() => {
      store.remove(volume)
    })
    t.like(LatchkeyError.from(removed), { reason: 'VolumeIo' })
    t.false(store.isMounted(volume))
    t.is(lstatSync(volume.targetPath).ino, before.ino)
    t.deepEqual(mountsBelow(kubeletRoot), [])
  })
}

mountTest('an empty folder at the target, as an earlier crash leaves it, is taken', (t) => {
  const { store, volume } = tmpfsWorld(t)
  mkdirSync(volume.targetPath)
  store.create(volume, firstFiles())
  t.is(readText(volume, 'password'), 'one')
})

mountTest('a foreign mount at the target is neither covered nor touched', (t) => {
  const { kubeletRoot, store, volume } = tmpfsWorld(t)
  mkdirSync(volume.targetPath)
  mountTmpfs(volume.targetPath, 'somebody-else')
  writeFileSync(`${volume.targetPath}/precious`, 'x')
  for (const call of ['create', 'swap', 'prune', 'remove', 'digest', 'stats'] as const) {
    const error = t.throws(() => store[call](volume, firstFiles()))
    t.like(LatchkeyError.from(error), { reason: 'VolumeIo' }, call)
    t.regex(error.message, /mounted at the target/, call)
  }
  t.is(readText(volume, 'precious'), 'x')
  t.is(mountsBelow(kubeletRoot).length, 1)
  t.false(store.isMounted(volume))
})

mountTest(
  'a foreign mount that came in place of the volume, with its device number, is not written to',
  (t) => {
    const { store, volume } = tmpfsWorld(t)
    store.create(volume, firstFiles())
    const { dev } = statSync(volume.targetPath)
    spawnSync('umount', [volume.targetPath])
    mountTmpfs(volume.targetPath, 'somebody-else')
    if (statSync(volume.targetPath).dev !== dev) t.log('the kernel gave another number this time')
    t.throws(
      () => {
        store.swap(volume, secondFiles())
      },
      { message: /not this volume/ },
    )
    t.deepEqual(readdirSync(volume.targetPath), [])
  },
)

mountTest('a folder of the same file system that is bound to the target is not covered', (t) => {
  const { kubeletRoot, store, volume } = tmpfsWorld(t)
  const elsewhere = `${kubeletRoot}/elsewhere`
  mkdirSync(elsewhere)
  mkdirSync(volume.targetPath)
  t.is(spawnSync('mount', ['--bind', elsewhere, volume.targetPath]).status, 0)
  t.throws(
    () => {
      store.create(volume, firstFiles())
    },
    { message: /mounted at the target already/ },
  )
  t.is(mountsBelow(kubeletRoot).length, 1)
})

const STEPS = ['pods', '', 'volumes', 'kubernetes.io~csi', 'db']
for (const depth of STEPS.keys()) {
  mountTest(`a link in place ${depth + 1} on the way to the target is not followed`, (t) => {
    const { kubeletRoot, store, volume } = tmpfsWorld(t)
    const steps = dirname(volume.targetPath)
      .slice(kubeletRoot.length + 1)
      .split('/')
    const linked = join(kubeletRoot, ...steps.slice(0, depth + 1))
    const elsewhere = `${kubeletRoot}/elsewhere`
    renameSync(linked, elsewhere)
    symlinkSync(elsewhere, linked)
    const target = join(elsewhere, ...steps.slice(depth + 1), 'mount')
    for (const call of ['create', 'swap', 'digest', 'remove'] as const) {
      const error = t.throws(() => store[call](volume, firstFiles()))
      t.is(LatchkeyError.from(error).reason, 'VolumeIo', call)
    }
    t.false(store.isMounted(volume))
    t.false(existsSync(target))
  })
}

mountTest(
  'a parent that is swapped for a link while the volume is built leads nowhere else',
  (t) => {
    const { kubeletRoot, store, volume } = tmpfsWorld(t)
    const parent = dirname(volume.targetPath)
    const trap = `${kubeletRoot}/trap`
    mkdirSync(trap)
    const swapParent = (): void => {
      if (existsSync(`${kubeletRoot}/moved`)) return
      renameSync(parent, `${kubeletRoot}/moved`)
      symlinkSync(trap, parent)
    }
    withFsFaults(
      (change, [path]) => {
        if (change === 'mkdirSync' && String(path).endsWith('/mount')) swapParent()
      },
      () => {
        store.create(volume, firstFiles())
      },
    )
    t.deepEqual(readdirSync(trap), [])
    t.is(mountsBelow(kubeletRoot)[0]?.mountPoint, `${kubeletRoot}/moved/mount`)
  },
)

mountTest('kubelet’s folder itself may be a link of the administrator', (t) => {
  const { kubeletRoot, open } = tmpfsWorld(t)
  mkdirSync(`${kubeletRoot}/real`)
  symlinkSync(`${kubeletRoot}/real`, `${kubeletRoot}/link`)
  const volume = volumeAt(`${kubeletRoot}/link`)
  open(`${kubeletRoot}/link`).create(volume, firstFiles())
  const restarted = open(`${kubeletRoot}/link`)
  t.deepEqual(restarted.list(), [volume])
  t.true(restarted.isMounted(volume))
  restarted.remove(volume)
  t.deepEqual(mountsBelow(kubeletRoot), [])
})

mountTest('a second create upon a mounted volume does not stack', (t) => {
  const { kubeletRoot, store, volume, open } = tmpfsWorld(t)
  store.create(volume, firstFiles())
  for (const one of [store, open()]) {
    t.throws(() => {
      one.create(volume, secondFiles())
    })
  }
  t.is(mountsBelow(kubeletRoot).length, 1)
  t.is(readText(volume, 'password'), 'one')
})
