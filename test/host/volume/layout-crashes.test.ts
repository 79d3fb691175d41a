import { readdirSync, readFileSync, statSync } from 'node:fs'
import test from 'ava'
import { contentsDigest } from '../../../src/core/contents-digest.ts'
import type { VolumeFile } from '../../../src/core/types.ts'
import { pruneGenerations, writeGeneration } from '../../../src/host/volume/layout.ts'
import { digestOf } from '../../../src/host/volume/read-back.ts'
import { crashAt, withFsFaults } from '../../support/fs-faults.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { fileOf, listing } from '../../support/volumes.ts'

const OWNERSHIP = { fsGroup: undefined, isRequired: false }
const NOW = new Date('2026-11-21T08:00:00Z')

const OLD = (): VolumeFile[] => [
  fileOf('password', 'old', owned()),
  fileOf('gone', 'old', owned()),
  fileOf('turns/into-file', 'old', owned()),
]
const NEW = (): VolumeFile[] => [
  fileOf('password', 'new', owned()),
  fileOf('added', 'new', owned()),
  fileOf('turns', 'new', owned()),
  fileOf('deep/er/key', 'new', owned()),
]

function owned(): { readonly ownerUid: number } {
  return { ownerUid: process.getuid?.() ?? 0 }
}

function write(root: string, files: readonly VolumeFile[]): void {
  writeGeneration(root, files, OWNERSHIP, NOW)
}

/** What a pod reads by the visible names, as `path=text`. */
function visible(root: string): readonly string[] {
  const read = (path: string): readonly string[] => {
    const stat = statSync(`${root}/${path}`, { throwIfNoEntry: false })
    if (stat === undefined) return []
    if (!stat.isDirectory()) return [`${path}=${readFileSync(`${root}/${path}`, 'utf8')}`]
    return readdirSync(`${root}/${path}`).flatMap((name) => read(`${path}/${name}`))
  }
  return readdirSync(root)
    .filter((name) => !name.startsWith('..'))
    .flatMap(read)
    .sort()
}

function textsOf(files: readonly VolumeFile[]): readonly string[] {
  return files.map(({ path, data }) => `${path}=${data.use((bytes) => bytes.toString())}`).sort()
}

/** Runs `check` for a crash ahead of the first change, of the second, and so on to the end of `work`. */
function atEveryCrash(
  prepare: () => string,
  work: (root: string) => void,
  check: (root: string, change: number) => void,
): number {
  for (let change = 1; ; change += 1) {
    const root = prepare()
    const hasCrashed = crashAt(change, () => {
      work(root)
    })
    check(root, change)
    if (!hasCrashed) return change
  }
}

test('a crash at any change of a swap shows the old files or the new ones, never both', (t) => {
  const seen = new Set<string>()
  const changes = atEveryCrash(
    () => {
      const root = tempDir(t)
      write(root, OLD())
      return root
    },
    (root) => {
      write(root, NEW())
    },
    (root, change) => {
      const texts = visible(root)
      const isOld = texts.join() === textsOf(OLD()).join()
      const isNew = texts.join() === textsOf(NEW()).join()
      t.true(isOld || isNew, `change ${change}: ${texts.join()}`)
      t.deepEqual(digestOf(root), contentsDigest(isOld ? OLD() : NEW()), `change ${change}`)
      seen.add(isOld ? 'old' : 'new')
    },
  )
  t.true(changes > 20)
  t.deepEqual([...seen], ['old', 'new'])
})

test('after a crash at any change the next swap and prune leave nothing of it', (t) => {
  const ideal = tempDir(t)
  write(ideal, NEW())
  for (const next of [NEW, OLD]) {
    const clean = tempDir(t)
    write(clean, next())
    atEveryCrash(
      () => {
        const root = tempDir(t)
        write(root, OLD())
        return root
      },
      (root) => {
        write(root, NEW())
      },
      (root, change) => {
        write(root, next())
        pruneGenerations(root)
        t.deepEqual(listing(root), listing(clean), `change ${change}`)
      },
    )
  }
})

test('after a crash at any change a prune alone leaves nothing but the generation that shows', (t) => {
  const clean = [OLD, NEW].map((files) => {
    const root = tempDir(t)
    write(root, files())
    return root
  })
  atEveryCrash(
    () => {
      const root = tempDir(t)
      write(root, OLD())
      return root
    },
    (root) => {
      write(root, NEW())
    },
    (root, change) => {
      pruneGenerations(root)
      const like = clean.find((other) => visible(other).join() === visible(root).join())
      t.deepEqual(listing(root), listing(like ?? ''), `change ${change}`)
    },
  )
})

test('a swap that fails at any change up to the rename leaves the volume as it was', (t) => {
  const failed: string[] = []
  while (failed.at(-1) !== 'renameSync') {
    const root = tempDir(t)
    write(root, OLD())
    const before = listing(root)
    const failing = failed.length + 1
    let changes = 0
    t.throws(
      () => {
        withFsFaults(
          (name) => {
            changes += 1
            if (changes !== failing) return
            failed.push(name)
            throw new Error('no room')
          },
          () => {
            write(root, NEW())
          },
        )
      },
      { message: 'no room' },
    )
    t.deepEqual(listing(root), before, failed.at(-1))
  }
})

test('a prune that crashes at any change leaves the current files alone', (t) => {
  atEveryCrash(
    () => {
      const root = tempDir(t)
      write(root, OLD())
      write(root, NEW())
      return root
    },
    pruneGenerations,
    (root) => {
      t.deepEqual(visible(root), textsOf(NEW()))
    },
  )
})
