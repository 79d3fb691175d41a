import { createHash } from 'node:crypto'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { execFileSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { parseArgs } from 'node:util'

import { build } from 'esbuild'

import { packageFolderOf, writeBillOfMaterials, type Lock, type LockedPackage } from './sbom.ts'

/*
 * `npm run build [-- --arch x64,arm64]`: everything the image holds, in dist/.
 *   app/bin/              the program as ES modules: latchkey.js, and what each command alone needs beside it
 *   proto/                two folders above it, where the sources have it too
 *   node_modules/         koffi's native part, which cannot be bundled
 *   sbom.cdx.json         every package of which something is in there, with its version and hash
 */
const PROJECT = import.meta.dirname
const DIST = join(PROJECT, 'dist')
const APP = join(DIST, 'app', 'bin')
const KNOWN_ARCHITECTURES = ['x64', 'arm64']

interface Manifest {
  readonly name: string
  readonly version: string
  readonly license: string
}

const { values } = parseArgs({ options: { arch: { type: 'string', default: process.arch } } })
const architectures = values.arch.split(',')
for (const architecture of architectures) {
  if (!KNOWN_ARCHITECTURES.includes(architecture)) {
    throw new Error(`--arch: ${architecture} is not one of ${KNOWN_ARCHITECTURES.join(', ')}`)
  }
}

rmSync(DIST, { recursive: true, force: true })
const bundled = await bundle()
cpSync(join(PROJECT, 'proto'), join(DIST, 'proto'), { recursive: true })
writeManifest()
for (const architecture of architectures) copyKoffi(architecture)
writeBill()

/** Answers the sources of which something is in the bundle. */
async function bundle(): Promise<readonly string[]> {
  const { metafile } = await build({
    metafile: true,
    entryPoints: { latchkey: join(PROJECT, 'src', 'main.ts') },
    outdir: APP,
    bundle: true,
    // Each side loads its own part: what is loaded, used or not, is memory on every node.
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    // Stack traces and a reader of the image see the names of the sources.
    minify: false,
    legalComments: 'eof',
    external: ['@koromix/*'],
    // CommonJS packages call require for Node's own modules, and an ES module has none.
    banner: {
      js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
    },
    logLevel: 'warning',
  })
  const outputs = Object.values(metafile.outputs)
  return outputs.flatMap(({ inputs }) =>
    Object.entries(inputs)
      .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
      .map(([file]) => file),
  )
}

function writeBill(): void {
  const koffis = architectures.map((name) => `node_modules/@koromix/koffi-linux-${name}`)
  const folders = bundled.flatMap((file) => packageFolderOf(file) ?? [])
  const modules = readdirSync(APP).map((name) => join(APP, name))
  const files = new Map(modules.map((file) => [relative(DIST, file), readFileSync(file)]))
  const text = writeBillOfMaterials(readLock(), [...folders, ...koffis], files)
  writeFileSync(join(DIST, 'sbom.cdx.json'), text)
}

/** Without "type" Node would have to guess what latchkey.js is. */
function writeManifest(): void {
  const { name, version, license } = readJson(join(PROJECT, 'package.json')) as Manifest
  const manifest = { name, version, license, type: 'module' }
  writeFileSync(join(DIST, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
  cpSync(join(PROJECT, 'LICENSE'), join(DIST, 'LICENSE'))
}

/** Only the files for glibc: the same package has a second native build for musl. */
function copyKoffi(architecture: string): void {
  const name = `@koromix/koffi-linux-${architecture}`
  const target = join(DIST, 'node_modules', name)
  mkdirSync(target, { recursive: true })
  withPackage(name, (source) => {
    for (const file of ['package.json', 'index.js', `linux_${architecture}`]) {
      cpSync(join(source, file), join(target, file), { recursive: true })
    }
  })
}

/** npm installs the native package of this machine alone; another one is fetched and checked here. */
function withPackage(name: string, use: (folder: string) => void): void {
  const installed = join(PROJECT, 'node_modules', name)
  if (statSync(installed, { throwIfNoEntry: false }) !== undefined) {
    use(installed)
    return
  }
  const { version = '', integrity } = lockedPackage(name)
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-build-'))
  try {
    const pack = ['pack', '--silent', '--pack-destination', folder, `${name}@${version}`]
    const archive = join(folder, execFileSync('npm', pack, { encoding: 'utf8' }).trim())
    const digest = createHash('sha512').update(readFileSync(archive)).digest('base64')
    if (`sha512-${digest}` !== integrity) {
      throw new Error(`${name}@${version} is not what package-lock.json names`)
    }
    execFileSync('tar', ['-xzf', archive, '-C', folder])
    use(join(folder, 'package'))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function lockedPackage(name: string): LockedPackage {
  const found = readLock().packages[`node_modules/${name}`]
  if (found === undefined) throw new Error(`package-lock.json does not name ${name}`)
  return found
}

function readLock(): Lock {
  return readJson(join(PROJECT, 'package-lock.json')) as Lock
}

function readJson(file: string): unknown {
  return JSON.parse(readFileSync(file, 'utf8'))
}
