import { parseAllDocuments } from 'yaml'
import { parseConfig } from '../../src/config/parse.ts'
import { parseItems } from '../../src/daemon/sources/parse-items.ts'
import { KUBERNETES_GRAMMAR, type Grammars } from '../../src/daemon/sources/grammar.ts'
import { VAULT_GRAMMAR } from '../../src/daemon/sources/vault/grammar.ts'

const OUR_DRIVER = 'csi.latchkey.dev'

type Map = Readonly<Record<string, unknown>>

/** A source that a page declares. */
interface Declared {
  readonly name: string
  readonly role: string | undefined
  readonly audience: string
}

/** What a page's YAML says to Latchkey. */
export interface Written {
  /** `volumeAttributes` of our driver, or of none. */
  readonly volumes: readonly ReadonlyMap<string, string>[]
  readonly sources: readonly Declared[]
  /** That the CSIDriver is told to ask for. */
  readonly audiences: readonly string[]
  /** One line each; empty where all is well. */
  readonly mistakes: readonly string[]
}

/** Reads every YAML block of a page as Latchkey itself would: volumes as a pod's, `sources` as the configuration. */
export function readWritten(markdown: string): Written {
  const blocks = [...markdown.matchAll(/^```yaml\n(.*?)^```/gms)].map(([, block = '']) => block)
  const found: Found = { volumes: [], sources: [], audiences: [], mistakes: [] }
  for (const block of blocks) readBlock(block, found)
  return found
}

/** What is wrong with the volumes of a page, `sources` being those that its pods may name. */
export function judgeVolumes(
  { volumes }: Written,
  sources: readonly Pick<Declared, 'name' | 'role'>[],
): readonly string[] {
  const grammars: Grammars = new Map([
    ['kubernetes', KUBERNETES_GRAMMAR],
    ...sources.map(({ name }) => [name, VAULT_GRAMMAR] as const),
  ])
  return volumes.flatMap((attributes) => {
    try {
      return parseItems(attributes, grammars).flatMap(({ from, role }) => {
        const source = sources.find(({ name }) => name === from)
        if (source === undefined || (source.role === undefined) === (role !== undefined)) return []
        return [`${from}: its role is named ${role === undefined ? 'nowhere' : 'twice'}`]
      })
    } catch (thrown) {
      return [String(thrown)]
    }
  })
}

interface Found {
  readonly volumes: ReadonlyMap<string, string>[]
  readonly sources: Declared[]
  readonly audiences: string[]
  readonly mistakes: string[]
}

function readBlock(block: string, found: Found): void {
  for (const document of parseAllDocuments(block)) {
    const [error] = [...('errors' in document ? document.errors : []), ...document.warnings]
    if (error !== undefined)
      found.mistakes.push(`${block.split('\n', 1)[0] ?? ''}: ${error.message}`)
    else readNode(document.toJS(), undefined, found)
  }
}

/** Texts that hold YAML of their own are read as well: patches of a kustomization, and the file in a ConfigMap. */
function readNode(node: unknown, word: string | undefined, found: Found): void {
  if (typeof node === 'string' && (word === 'patch' || word === 'config.yaml')) {
    readBlock(node, found)
  } else if (Array.isArray(node)) {
    for (const entry of node as readonly unknown[]) readNode(entry, undefined, found)
  } else if (isMap(node)) {
    readMap(node, word, found)
    for (const [name, inner] of Object.entries(node)) readNode(inner, name, found)
  }
}

function readMap(node: Map, word: string | undefined, found: Found): void {
  if (Array.isArray(node['sources']) && word !== 'projected')
    readSources({ sources: node['sources'] as unknown }, found)
  if (word === 'csi' && node['driver'] === OUR_DRIVER && node['readOnly'] !== true) {
    found.mistakes.push('a volume lacks readOnly: true')
  }
  const isOurs = node['driver'] === undefined || node['driver'] === OUR_DRIVER
  if (isOurs && isMap(node['volumeAttributes'])) {
    // kubelet takes texts only, and a manifest with anything else is refused whole.
    const attributes = Object.entries(node['volumeAttributes'])
    const strange = attributes.find(([, value]) => typeof value !== 'string')
    if (strange !== undefined) found.mistakes.push(`volumeAttributes.${strange[0]} is no text`)
    else found.volumes.push(new Map(attributes as [string, string][]))
  }
  if (typeof node['audience'] === 'string' && 'expirationSeconds' in node) {
    found.audiences.push(node['audience'])
  }
}

function readSources(configuration: Map, found: Found): void {
  const { words, problems } = parseConfig(JSON.stringify(configuration))
  found.mistakes.push(...(problems ?? []).map(({ message }) => message))
  for (const { name, auth } of words?.sources ?? []) {
    found.sources.push({ name, role: auth.role, audience: auth.audience })
  }
}

function isMap(node: unknown): node is Map {
  return typeof node === 'object' && node !== null && !Array.isArray(node)
}
