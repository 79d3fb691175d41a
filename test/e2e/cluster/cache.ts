import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

import { identify } from './processes.ts'

/** Outside the checkout, so that a fresh clone need not build Kubernetes again. */
export const cacheFolder =
  process.env['LATCHKEY_E2E_CACHE'] ?? join(homedir(), '.cache', 'latchkey', 'e2e')

/** A short key of everything that a cached thing is made from. */
export function cacheKey(...ingredients: (string | Buffer)[]): string {
  const hash = createHash('sha256')
  for (const ingredient of ingredients) hash.update(ingredient).update('\0')
  return hash.digest('hex').slice(0, 16)
}

/**
 * The folder that `make` has filled for this key, now or in an earlier run. It appears under its
 * name in one rename when it is whole, so an interrupted run leaves nothing that looks finished.
 */
export async function cached(
  kind: string,
  key: string,
  make: (folder: string) => Promise<void>,
): Promise<string> {
  const finished = join(cacheFolder, `${kind}-${key}`)
  if (exists(finished)) return finished
  mkdirSync(cacheFolder, { recursive: true })
  discardUnfinished()
  const unfinished = join(cacheFolder, `unfinished-${process.pid}-${kind}`)
  mkdirSync(unfinished)
  try {
    await make(unfinished)
    if (!exists(finished)) renameSync(unfinished, finished)
  } finally {
    rmSync(unfinished, { recursive: true, force: true })
  }
  discardOthers(kind, `${kind}-${key}`)
  return finished
}

function discardUnfinished(): void {
  for (const name of readdirSync(cacheFolder)) {
    const pid = /^unfinished-(\d+)-/.exec(name)?.[1]
    if (pid !== undefined && identify(Number(pid)) === undefined) {
      rmSync(join(cacheFolder, name), { recursive: true, force: true })
    }
  }
}

function discardOthers(kind: string, kept: string): void {
  const pattern = new RegExp(`^${kind}-[0-9a-f]{16}$`)
  for (const name of readdirSync(cacheFolder)) {
    if (pattern.test(name) && name !== kept) {
      rmSync(join(cacheFolder, name), { recursive: true, force: true })
    }
  }
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined
}
