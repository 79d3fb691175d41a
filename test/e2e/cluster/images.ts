import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

import { cached, cacheKey } from './cache.ts'
import type { CommandOptions } from './command.ts'
import { run } from './command.ts'
import { PAUSE_IMAGE } from './containerd.ts'
import { writeImageArchive } from './image-archive.ts'

/** Debian with Node 24 and Python: what the Dockerfile stands on, and what test pods run. */
export const BASE_IMAGE = 'localhost/latchkey-e2e-base:1'
export const LATCHKEY_IMAGE = 'localhost/latchkey:e2e'

const PROJECT = join(import.meta.dirname, '..', '..', '..')
const SUITE = 'bookworm'
const EXTRA_PACKAGES = ['ca-certificates', 'python3-minimal']

/** The archive of the image that every pod sandbox runs. */
export async function ensurePauseImage(pausePath: string, signal?: AbortSignal): Promise<string> {
  const key = cacheKey(PAUSE_IMAGE, readFileSync(pausePath))
  const folder = await cached('pause-image', key, async (unfinished) => {
    const rootFolder = join(unfinished, 'root')
    mkdirSync(rootFolder)
    copyFileSync(pausePath, join(rootFolder, 'pause'))
    const content = { name: PAUSE_IMAGE, rootFolder, entrypoint: ['/pause'] }
    await writeImageArchive(content, join(unfinished, 'image.tar'), signal)
    rmSync(rootFolder, { recursive: true })
  })
  return join(folder, 'image.tar')
}

/** The archive of BASE_IMAGE. There is no registry, so it is made with debootstrap. */
export async function ensureBaseImage(
  report: (line: string) => void,
  signal?: AbortSignal,
): Promise<string> {
  const { path: nodePath, version } = nodeProgram()
  const key = cacheKey(BASE_IMAGE, SUITE, ...EXTRA_PACKAGES, process.arch, version)
  const folder = await cached('base-image', key, async (unfinished) => {
    report(`making the base image with debootstrap (kept in the cache for the next run)`)
    const rootFolder = join(unfinished, 'root')
    const include = `--include=${EXTRA_PACKAGES.join(',')}`
    const command = ['debootstrap', '--variant=minbase', include, SUITE, rootFolder]
    await run(inPrivate(command), { timeoutMs: 900_000, ...(signal && { signal }) })
    for (const waste of ['var/cache/apt', 'var/lib/apt/lists', 'usr/share/doc', 'usr/share/man']) {
      rmSync(join(rootFolder, waste), { recursive: true, force: true })
    }
    copyFileSync(nodePath, join(rootFolder, 'usr/local/bin/node'))
    chmodSync(join(rootFolder, 'usr/local/bin/node'), 0o755)
    const content = { name: BASE_IMAGE, rootFolder, entrypoint: [] }
    await writeImageArchive(content, join(unfinished, 'image.tar'), signal)
    rmSync(rootFolder, { recursive: true })
  })
  return join(folder, 'image.tar')
}

/**
 * Builds the project's Dockerfile, as it is shipped, on that base, and writes the image's archive
 * into the folder. Expects dist/ to be built.
 */
export async function buildLatchkeyImage(
  baseArchive: string,
  folder: string,
  signal?: AbortSignal,
): Promise<string> {
  const archive = join(folder, 'latchkey.tar')
  const storage = join(folder, 'buildah')
  const temporary = join(storage, 'tmp')
  mkdirSync(temporary, { recursive: true })
  const state = ['--root', join(storage, 'root'), '--runroot', join(storage, 'run')]
  // buildah keeps a note of blobs in /var/lib/containers, whatever it is told.
  const hideNotes = ['sh', '-c', 'mount -t tmpfs tmpfs /var/lib && exec "$@"', 'sh']
  const buildah = [...hideNotes, 'buildah', ...state, '--storage-driver', 'overlay']
  const options: CommandOptions = {
    cwd: PROJECT,
    env: { TMPDIR: temporary },
    timeoutMs: 300_000,
    ...(signal && { signal }),
  }
  await run(inPrivate([...buildah, 'pull', '-q', `docker-archive:${baseArchive}`]), options)
  const build = [
    ...['bud', '-q', '--isolation', 'chroot', '--pull-never', '--timestamp', '0'],
    ...['--build-arg', `BASE=${BASE_IMAGE}`, '-t', LATCHKEY_IMAGE, '.'],
  ]
  await run(inPrivate([...buildah, ...build]), options)
  const push = ['push', '-q', LATCHKEY_IMAGE, `docker-archive:${archive}:${LATCHKEY_IMAGE}`]
  await run(inPrivate([...buildah, ...push]), options)
  rmSync(storage, { recursive: true, force: true })
  return archive
}

/**
 * debootstrap and buildah mount and unmount as they go. In namespaces of their own nothing stays
 * mounted and nothing stays running when they are interrupted or this process is killed.
 */
function inPrivate(command: readonly string[]): string[] {
  const flags = ['--mount', '--pid', '--fork', '--kill-child', '--mount-proc']
  return ['setpriv', '--pdeathsig', 'KILL', 'unshare', ...flags, '--', ...command]
}

function nodeProgram(): { path: string; version: string } {
  const require = createRequire(import.meta.url)
  const manifest = require.resolve(`node-linux-${process.arch}/package.json`)
  const path = join(dirname(manifest), 'bin', 'node')
  if (!existsSync(path)) throw new Error(`${path} is missing; run npm ci`)
  const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }
  return { path, version }
}
