import { posix } from 'node:path'
import type { Import, SourceFile } from './source-tree.ts'

/** The house rules as data; see architecture.test.ts. Folders end in "/", files in ".ts". */
export interface Rules {
  /** What the files of a place may import beside each other. The longest place that fits a file counts. */
  readonly layers: Readonly<Record<string, readonly string[]>>
  /** Where each npm package may be imported; `types`: and where as types. */
  readonly packages: Readonly<Record<string, PackageRule>>
  /** Builtins that not everybody may import, and who may. */
  readonly builtins: Readonly<Record<string, readonly string[]>>
  /** What must not come along with a file, by whatever detour. */
  readonly closed: readonly ClosedRoom[]
  readonly maxLines: number
  /** Longer files, each with its reason. */
  readonly longFiles: Readonly<Record<string, string>>
  /** Where process.exit may stand. */
  readonly exits: readonly string[]
  /** Where fetch, WebSocket and EventSource may stand. */
  readonly webClients: readonly string[]
  /** Made by a tool: its names and sizes are not ours. */
  readonly generated: readonly string[]
}

export interface PackageRule {
  readonly owners: readonly string[]
  readonly types?: readonly string[]
}

export interface ClosedRoom {
  readonly room: string
  readonly files?: readonly string[]
  readonly builtins?: readonly string[]
  /** Every other package is closed out. */
  readonly onlyPackages?: readonly string[]
}

const NAME = /^[a-z0-9]+(-[a-z0-9]+)*(\.ts)?$/
const EMPTY_WORDS = new Set(['util', 'utils', 'helper', 'helpers', 'common', 'manager', 'misc'])

/** Everything in a tree that breaks the rules, one line each, with file and line where there is one. */
export function findViolations(tree: readonly SourceFile[], rules: Rules): readonly string[] {
  return [
    ...tree.flatMap((file) => [
      ...file.imports.flatMap((edge) => judgeImport(file, edge, rules)),
      ...judgeOddities(file, rules),
      ...(within(file.path, rules.generated) ? [] : judgeShape(file, rules)),
    ]),
    ...rules.closed.flatMap((room) => judgeRoom(tree, room)),
    ...judgeRules(tree, rules),
  ]
}

function judgeImport({ path }: SourceFile, edge: Import, rules: Rules): readonly string[] {
  const at = `${path}:${edge.line}`
  const { target } = edge
  switch (edge.kind) {
    case 'file': {
      const layer = longest(path, Object.keys(rules.layers))
      if (layer === undefined) return [`${at}: lies in no layer`]
      if (!target.endsWith('.ts')) return [`${at}: ${target} is imported without .ts`]
      const own = longest(target, Object.keys(rules.layers)) === layer
      const mayImport = own || within(target, rules.layers[layer] ?? [])
      return mayImport ? [] : [`${at}: ${layer} may not import ${target}`]
    }
    case 'builtin': {
      if (!target.startsWith('node:')) return [`${at}: ${target} is imported without node:`]
      const allowed = rules.builtins[target]
      const isFine = allowed === undefined || within(path, allowed)
      return isFine ? [] : [`${at}: only ${named(allowed)} may import ${target}`]
    }
    case 'package': {
      const rule = rules.packages[target]
      if (rule === undefined) return [`${at}: the package ${target} has no owner`]
      const isFine =
        within(path, rule.owners) || (edge.isTypeOnly && within(path, rule.types ?? []))
      return isFine ? [] : [`${at}: only ${named(rule.owners)} may import ${target}`]
    }
  }
}

function judgeOddities({ path, oddities }: SourceFile, rules: Rules): readonly string[] {
  const allowed: Partial<Record<string, readonly string[]>> = {
    'process.exit': rules.exits,
    'web client': rules.webClients,
  }
  return oddities
    .filter(({ what }) => !within(path, allowed[what] ?? []))
    .map(({ what, line }) => `${path}:${line}: ${what}`)
}

function judgeShape({ path, lines }: SourceFile, rules: Rules): readonly string[] {
  const names = path.split('/')
  const bad = names.filter((name) => {
    const words = name.replace(/\.ts$/, '').split('-')
    return !NAME.test(name) || name === 'index.ts' || words.some((word) => EMPTY_WORDS.has(word))
  })
  const isLong = lines > rules.maxLines && rules.longFiles[path] === undefined
  return [
    ...bad.map((name) => `${path}: the name ${name} says nothing or is not kebab-case`),
    ...(isLong ? [`${path}: ${lines} lines, ${rules.maxLines} allowed`] : []),
  ]
}

/** Walks from every file of the room along all that is loaded with it. */
function judgeRoom(tree: readonly SourceFile[], room: ClosedRoom): readonly string[] {
  const files = new Map(tree.map((file) => [file.path, file]))
  const found = new Map<string, string>()
  const trails = tree.filter(({ path }) => within(path, [room.room])).map(({ path }) => [path])
  const seen = new Set(trails.map(([path]) => path))
  // Breadth first, so that the shortest way is the one that is told.
  for (let trail = trails.shift(); trail !== undefined; trail = trails.shift()) {
    for (const edge of files.get(trail.at(-1) ?? '')?.imports ?? []) {
      if (edge.isTypeOnly || edge.isDynamic) continue
      const next = [...trail, edge.target]
      if (isClosedOut(edge, room)) {
        const way = next.length > 2 ? ` by way of ${next.slice(1, -1).join(', ')}` : ''
        found.set(edge.target, `${next[0] ?? ''} reaches ${edge.target}${way}`)
      } else if (edge.kind === 'file' && !seen.has(edge.target)) {
        seen.add(edge.target)
        trails.push(next)
      }
    }
  }
  return [...found.values()]
}

function isClosedOut(
  { kind, target }: Import,
  { files, builtins, onlyPackages }: ClosedRoom,
): boolean {
  switch (kind) {
    case 'file':
      return within(target, files ?? [])
    case 'builtin':
      return builtins?.includes(target) ?? false
    case 'package':
      return onlyPackages !== undefined && !onlyPackages.includes(target)
  }
}

/** A rule about nothing is a rule that lost its subject, and guards it no more. */
function judgeRules(tree: readonly SourceFile[], rules: Rules): readonly string[] {
  const paths = tree.map(({ path }) => path)
  const places = [
    ...Object.keys(rules.layers),
    ...rules.closed.map(({ room }) => room),
    ...rules.exits,
    ...rules.webClients,
  ]
  const short = Object.keys(rules.longFiles).filter((path) => {
    const lines = tree.find((file) => file.path === path)?.lines ?? 0
    return lines <= rules.maxLines
  })
  return [...new Set(places.filter((place) => !paths.some((path) => within(path, [place]))))]
    .map((place) => `the rules name ${place}, and nothing lies there`)
    .concat(short.map((path) => `the rules call ${path} long, and it is not`))
}

function within(path: string, places: readonly string[]): boolean {
  return longest(path, places) !== undefined
}

function longest(path: string, places: readonly string[]): string | undefined {
  return places
    .filter((place) => (place.endsWith('/') ? path.startsWith(place) : path === place))
    .toSorted((a, b) => b.length - a.length)[0]
}

function named(places: readonly string[]): string {
  return places.length === 0 ? 'nobody' : places.map((place) => posix.normalize(place)).join(', ')
}
