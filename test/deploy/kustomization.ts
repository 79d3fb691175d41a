import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { parse, parseAllDocuments } from 'yaml'

/** A Kubernetes object, or a part of one. */
export type Node = Readonly<Record<string, unknown>>

/**
 * Renders a kustomization as `kubectl kustomize` does, for the words that ours use; any other word is an
 * error, so that nothing is left out unseen.
 */
export function renderKustomization(folder: string): readonly Node[] {
  const file = join(folder, 'kustomization.yaml')
  const words = parse(readFileSync(file, 'utf8')) as Node
  const { apiVersion: _, kind, resources, components, patches, ...unknown } = words
  if (Object.keys(unknown).length > 0) {
    throw new Error(
      `${file}: ${Object.keys(unknown).join(', ')} of ${String(kind)} is not known here`,
    )
  }
  const own = listOf(resources).flatMap((path) => load(join(folder, path as string)))
  const joined = listOf(components).reduce<readonly Node[]>(
    (objects, path) => applyKustomization(join(folder, path as string), objects),
    own,
  )
  return patched(folder, joined, listOf(patches) as readonly Patch[])
}

/** As an overlay would have it that takes a base and one component. */
export function renderWithComponent(base: string, component: string): readonly Node[] {
  return applyKustomization(component, renderKustomization(base))
}

function applyKustomization(folder: string, objects: readonly Node[]): readonly Node[] {
  const file = join(folder, 'kustomization.yaml')
  const { resources, patches } = parse(readFileSync(file, 'utf8')) as Node
  const own = listOf(resources).flatMap((path) => load(join(folder, path as string)))
  return patched(folder, [...objects, ...own], listOf(patches) as readonly Patch[])
}

interface Patch {
  readonly target?: { readonly kind: string; readonly name: string }
  /** A list of operations. */
  readonly patch?: string
  /** A file that is merged. */
  readonly path?: string
}

interface Operation {
  readonly op: string
  readonly path: string
  readonly value?: unknown
}

function load(path: string): readonly Node[] {
  if (statSync(path).isDirectory()) return renderKustomization(path)
  return parseAllDocuments(readFileSync(path, 'utf8')).map((document) => document.toJS() as Node)
}

function patched(
  folder: string,
  objects: readonly Node[],
  patches: readonly Patch[],
): readonly Node[] {
  return patches.reduce((before, { target, patch, path }) => {
    if (target !== undefined && patch !== undefined) {
      const operations = parse(patch) as readonly Operation[]
      return change(before, target.kind, target.name, (object) =>
        operations.reduce(operate, object),
      )
    }
    if (path === undefined) throw new Error(`${folder}: a patch without a path is not known here`)
    const merged = parse(readFileSync(join(folder, path), 'utf8')) as Node
    return change(before, String(merged['kind']), nameOf(merged), (object) => merge(object, merged))
  }, objects)
}

function change(
  objects: readonly Node[],
  kind: string,
  name: string,
  how: (object: Node) => Node,
): readonly Node[] {
  const index = objects.findIndex((object) => object['kind'] === kind && nameOf(object) === name)
  const found = objects[index]
  if (found === undefined) throw new Error(`a patch is for ${kind} ${name}, which is not there`)
  return objects.with(index, how(found))
}

/** JSON patch, RFC 6902, of members of maps. */
function operate(object: Node, { op, path, value }: Operation): Node {
  const change = (node: Node, [name = '', ...rest]: readonly string[]): Node => {
    if (!(name in node)) throw new Error(`${path} is not there`)
    if (rest.length > 0) return { ...node, [name]: change(node[name] as Node, rest) }
    const { [name]: _, ...others } = node
    if (op === 'remove') return others
    if (op === 'replace') return { ...node, [name]: value }
    throw new Error(`${op} is not known here`)
  }
  return change(object, path.split('/').slice(1))
}

/** Strategic merge of maps; a list would be merged by keys that only the API knows. */
function merge(into: Node, from: Node): Node {
  const merged = Object.entries(from).map(([name, value]) => {
    if (Array.isArray(value)) throw new Error(`${name}: lists in patches are not known here`)
    const before = into[name]
    return [name, isNode(value) && isNode(before) ? merge(before, value) : value]
  })
  return { ...into, ...(Object.fromEntries(merged) as Node) }
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function nameOf(object: Node): string {
  return String((object['metadata'] as Node)['name'])
}

export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as readonly unknown[]) : []
}
