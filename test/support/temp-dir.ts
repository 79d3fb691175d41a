import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'

/** A folder of the test's own, gone with it. Its path is short, for sockets may lie in it. */
export function tempDir(t: ExecutionContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'lk-'))
  t.teardown(() => {
    rmSync(folder, { recursive: true, force: true })
  })
  return folder
}
