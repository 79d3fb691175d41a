import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'

export type SideName = 'host' | 'daemon'

const PROJECT = new URL('../../', import.meta.url).pathname

/** Both sides as one file each: thousands of starts would otherwise spend their time on loading the sources. */
export interface Bundle {
  readonly folder: string
  readonly programs: Readonly<Record<SideName, string>>
  dispose(): void
}

/** A fresh one from the sources as they are now. */
export async function bundleSides(): Promise<Bundle> {
  const folder = mkdtempSync(join(tmpdir(), 'lk-bundle-'))
  // Sources find protos and package.json two folders above themselves.
  const bin = join(folder, 'app', 'bin')
  mkdirSync(bin, { recursive: true })
  for (const name of ['proto', 'package.json', 'node_modules']) {
    symlinkSync(join(PROJECT, name), join(folder, name))
  }
  const sides = join(PROJECT, 'test', 'soak', 'sides')
  await build({
    entryPoints: { host: join(sides, 'host.ts'), daemon: join(sides, 'daemon.ts') },
    outdir: bin,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    external: ['@koromix/*'],
    // CommonJS packages call require for Node's own modules, and an ES module has none.
    banner: {
      js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
    },
    logLevel: 'warning',
  })
  return {
    folder,
    programs: { host: join(bin, 'host.js'), daemon: join(bin, 'daemon.js') },
    dispose() {
      // A process that was only just killed may still be writing what it compiled.
      rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 })
    },
  }
}
