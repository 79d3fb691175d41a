import { readFileSync } from 'node:fs'
import test from 'ava'
import { packageFolderOf, writeBillOfMaterials, type Lock } from '../../sbom.ts'

const PROJECT = new URL('../../', import.meta.url).pathname

interface FullLock extends Lock {
  readonly lockfileVersion: number
  readonly packages: Readonly<
    Record<
      string,
      | {
          readonly version?: string
          readonly integrity?: string
          readonly resolved?: string
          readonly hasInstallScript?: boolean
          readonly link?: boolean
        }
      | undefined
    >
  >
}

function read(file: string): string {
  return readFileSync(`${PROJECT}${file}`, 'utf8')
}

const lock = JSON.parse(read('package-lock.json')) as FullLock
const installed = Object.entries(lock.packages).filter(([folder]) => folder !== '')

test('every package of the lockfile is known by its sha512, and by no place where it was once fetched', (t) => {
  t.is(lock.lockfileVersion, 3)
  t.true(installed.length > 100)
  for (const [folder, found] of installed) {
    t.regex(found?.integrity ?? '', /^sha512-[A-Za-z0-9+/]{86}==$/, folder)
    t.is(found?.link, undefined, folder)
    t.is(found?.resolved, undefined, folder)
  }
})

test('no package that would run a line of its own at its installation is new', (t) => {
  // None of these is needed: esbuild's and koffi's native parts are packages, protobufjs compares versions.
  const scripts = installed.filter(([, found]) => found?.hasInstallScript === true)
  t.deepEqual(
    scripts.map(([folder]) => folder),
    ['node_modules/esbuild', 'node_modules/koffi', 'node_modules/protobufjs'],
  )
  t.regex(read('.ci/run'), /npm ci --ignore-scripts && npm run types/)
})

test('the image is the built files upon Node: not root, no package manager, no shell of ours', (t) => {
  const lines = read('Dockerfile')
    .replaceAll('\\\n', ' ')
    .split('\n')
    .filter((line) => !/^(#|\s*$)/.test(line))
  const of = (word: string): readonly string[] =>
    lines.filter((line) => line.startsWith(`${word} `)).map((line) => line.slice(word.length + 1))
  t.deepEqual(of('COPY'), ['dist/ /opt/latchkey/'])
  t.deepEqual(of('ADD'), [])
  t.deepEqual(of('USER'), ['65532:65532'])
  t.deepEqual(of('FROM'), ['${BASE}'])
  // Lists of words are started by the runtime itself, text by a shell.
  t.deepEqual(of('ENTRYPOINT'), [
    '["node", "--disable-sigusr1", "--max-semi-space-size=4", "/opt/latchkey/app/bin/latchkey.js"]',
  ])
  t.deepEqual(of('CMD'), ['["--help"]'])
  t.deepEqual(of('ENV'), ['NODE_ENV=production', 'GLIBC_TUNABLES=glibc.malloc.tcache_count=0'])
  const [run = '', ...more] = of('RUN')
  t.deepEqual(more, [])
  t.regex(run, /^rm -rf .*node_modules .*npm .*npx .*corepack .*yarn/)
  t.notRegex(run, /npm (ci|i|install)|apt|curl|wget/)
  t.deepEqual(read('.dockerignore').trim().split('\n'), ['*', '!dist'])
})

const SMALL: Lock = {
  name: 'latchkey',
  version: '1.2.3',
  packages: {
    'node_modules/a': { version: '1.0.0', integrity: 'sha512-AAAA', license: 'MIT' },
    'node_modules/a/node_modules/@s/b': { version: '2.0.0', integrity: 'sha512-////' },
    'node_modules/unhashed': { version: '3.0.0' },
  },
}

test('the bill of materials names each package once, by version and hash, and the same way twice', (t) => {
  const folders = ['node_modules/a/node_modules/@s/b', 'node_modules/a', 'node_modules/a']
  const files = new Map([['app/bin/latchkey.js', Buffer.from('x')]])
  const text = writeBillOfMaterials(SMALL, folders, files)
  t.is(writeBillOfMaterials(SMALL, folders, files), text)
  const { bomFormat, specVersion, components } = JSON.parse(text) as {
    bomFormat: string
    specVersion: string
    components: readonly { name: string; purl?: string; hashes: readonly { content: string }[] }[]
  }
  t.deepEqual([bomFormat, specVersion], ['CycloneDX', '1.5'])
  t.deepEqual(
    components.map(({ name, purl }) => [name, purl]),
    [
      ['a', 'pkg:npm/a@1.0.0'],
      ['@s/b', 'pkg:npm/%40s/b@2.0.0'],
      ['app/bin/latchkey.js', undefined],
    ],
  )
  t.is(components[1]?.hashes[0]?.content, 'ffffff')
})

test('a package that the lockfile does not name with its hash cannot be in the image', (t) => {
  for (const folder of ['node_modules/nobody', 'node_modules/unhashed']) {
    t.throws(() => writeBillOfMaterials(SMALL, [folder], new Map()), { message: /does not name/ })
  }
})

test('a file belongs to the package whose folder is nearest', (t) => {
  t.is(packageFolderOf('src/main.ts'), undefined)
  t.is(packageFolderOf('node_modules/a/x/y.js'), 'node_modules/a')
  t.is(packageFolderOf('node_modules/@s/b/x.js'), 'node_modules/@s/b')
  t.is(packageFolderOf('node_modules/a/node_modules/@s/b/x.js'), 'node_modules/a/node_modules/@s/b')
})
