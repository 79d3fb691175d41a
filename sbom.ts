import { createHash } from 'node:crypto'

/** package-lock.json, as far as it is needed. */
export interface Lock {
  readonly name: string
  readonly version: string
  readonly packages: Readonly<Record<string, LockedPackage | undefined>>
}

export interface LockedPackage {
  readonly version?: string
  /** `sha512-` and base64, as npm checks it. */
  readonly integrity?: string
  readonly license?: string
}

export interface Component {
  readonly type: 'library'
  readonly 'bom-ref': string
  readonly name: string
  readonly version: string
  readonly purl: string
  readonly hashes: readonly { readonly alg: 'SHA-512'; readonly content: string }[]
  readonly licenses?: readonly { readonly expression: string }[]
}

/**
 * What the image holds beside Node and the project's own files, as CycloneDX 1.5. Without a time or a random
 * number in it: the same sources make the same bytes.
 *
 * `folders`: of packages whose files are in the image, such as node_modules/pino. `files`: those that were
 * built, by their names in dist/. Throws: Error where the lockfile does not name a package.
 */
export function writeBillOfMaterials(
  lock: Lock,
  folders: Iterable<string>,
  files: ReadonlyMap<string, Buffer>,
): string {
  const components = [...new Set(folders)].toSorted().map((folder) => componentOf(lock, folder))
  const { name, version } = lock
  const bill = {
    bomFormat: 'CycloneDX',
    specVersion: '1.5',
    version: 1,
    metadata: {
      component: { type: 'application', 'bom-ref': `${name}@${version}`, name, version },
    },
    components: [
      ...components,
      ...[...files].map(([file, bytes]) => ({
        type: 'file',
        name: file,
        hashes: [{ alg: 'SHA-512', content: createHash('sha512').update(bytes).digest('hex') }],
      })),
    ],
  }
  return `${JSON.stringify(bill, null, 2)}\n`
}

/** The folder of the package that a file belongs to; undefined: it belongs to none. */
export function packageFolderOf(file: string): string | undefined {
  return /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0]
}

function componentOf(lock: Lock, folder: string): Component {
  const { version, integrity, license } = lock.packages[folder] ?? {}
  if (version === undefined || integrity?.startsWith('sha512-') !== true) {
    throw new Error(`package-lock.json does not name ${folder} with a version and its sha512`)
  }
  const name = folder.slice(folder.lastIndexOf('node_modules/') + 'node_modules/'.length)
  const content = Buffer.from(integrity.slice('sha512-'.length), 'base64').toString('hex')
  return {
    type: 'library',
    'bom-ref': `${folder}@${version}`,
    name,
    version,
    purl: `pkg:npm/${name.replace('@', '%40')}@${version}`,
    hashes: [{ alg: 'SHA-512', content }],
    ...(license === undefined ? {} : { licenses: [{ expression: license }] }),
  }
}
