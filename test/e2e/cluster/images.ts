import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
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
/** The same program under another version, to upgrade to. */
export const NEXT_IMAGE = 'localhost/latchkey:e2e-next'
export const NEXT_VERSION = '999.0.0-e2e'

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

/** One archive for each of LATCHKEY_IMAGE and NEXT_IMAGE. */
export interface LatchkeyArchives {
  readonly current: string
  readonly next: string
}

/**
 * Builds the project's Dockerfile, as it is shipped, on that base, and writes the images' archives
 * into the folder. Expects dist/ to be built.
 */
export async function buildLatchkeyImages(
  baseArchive: string,
  folder: string,
  signal?: AbortSignal,
): Promise<LatchkeyArchives> {
  const storage = join(folder, 'buildah')
  const temporary = join(storage, 'tmp')
  mkdirSync(temporary, { recursive: true })
  const state = ['--root', join(storage, 'root'), '--runroot', join(storage, 'run')]
  // buildah keeps a note of blobs in /var/lib/containers, whatever it is told.
  const hideNotes = ['sh', '-c', 'mount -t tmpfs tmpfs /var/lib && exec "$@"', 'sh']
  const options: CommandOptions = {
    env: { TMPDIR: temporary },
    timeoutMs: 300_000,
    ...(signal && { signal }),
  }
  const buildah = async (...words: readonly string[]): Promise<void> => {
    const command = ['buildah', ...state, '--storage-driver', 'overlay', ...words]
    await run(inPrivate([...hideNotes, ...command]), options)
  }
  const bud = ['bud', '-q', '--isolation', 'chroot', '--pull-never', '--timestamp', '0']
  const save = async (image: string, name: string): Promise<string> => {
    const archive = join(folder, name)
    await buildah('push', '-q', image, `docker-archive:${archive}:${image}`)
    return archive
  }
  await buildah('pull', '-q', `docker-archive:${baseArchive}`)
  await buildah(...bud, '--build-arg', `BASE=${BASE_IMAGE}`, '-t', LATCHKEY_IMAGE, PROJECT)
  const current = await save(LATCHKEY_IMAGE, 'latchkey.tar')
  await buildah(...bud, '-t', NEXT_IMAGE, writeNextContext(join(folder, 'next')))
  const next = await save(NEXT_IMAGE, 'latchkey-next.tar')
  rmSync(storage, { recursive: true, force: true })
  return { current, next }
}

/** What the image of the next version changes: the one file that names the version. */
function writeNextContext(folder: string): string {
  mkdirSync(folder, { recursive: true })
  const manifest = JSON.parse(readFileSync(join(PROJECT, 'dist', 'package.json'), 'utf8')) as object
  const next = { ...manifest, version: NEXT_VERSION }
  writeFileSync(join(folder, 'package.json'), JSON.stringify(next))
  const lines = [`FROM ${LATCHKEY_IMAGE}`, 'COPY package.json /opt/latchkey/package.json']
  writeFileSync(join(folder, 'Dockerfile'), `${lines.join('\n')}\n`)
  return folder
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
