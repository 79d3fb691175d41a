import { readdirSync, readFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { join, posix } from 'node:path'
import ts from 'typescript'

/** A source file as the rules see it. */
export interface SourceFile {
  /** From the project's root, such as src/core/errors.ts. */
  readonly path: string
  readonly lines: number
  readonly imports: readonly Import[]
  /** What the language allows and the house does not, with the line. */
  readonly oddities: readonly Oddity[]
}

export interface Import {
  /** A path from the project's root, a package's name, or a builtin's such as node:fs. */
  readonly target: string
  readonly kind: 'file' | 'package' | 'builtin'
  /** Erased before the program runs. */
  readonly isTypeOnly: boolean
  /** Loaded when a call comes to it, not with the file. */
  readonly isDynamic: boolean
  readonly line: number
}

export interface Oddity {
  readonly what:
    'default export' | 'module state' | 'process.exit' | 'computed import' | 'web client'
  readonly line: number
}

/** Every TypeScript file below a folder of the project. */
export function readSourceTree(project: string, folder: string): readonly SourceFile[] {
  return readdirSync(join(project, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => posix.join(folder, name))
    .toSorted()
    .map((path) => parseSource(path, readFileSync(join(project, path), 'utf8')))
}

export function parseSource(path: string, text: string): SourceFile {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true)
  const imports: Import[] = []
  const oddities: Oddity[] = []
  const lineOf = (node: ts.Node): number =>
    source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1

  const visit = (node: ts.Node): void => {
    const found = importIn(node)
    if (found?.specifier !== undefined) {
      const { specifier, ...how } = found
      imports.push({ ...how, ...resolveImport(path, specifier), line: lineOf(node) })
    } else if (found !== undefined) {
      oddities.push({ what: 'computed import', line: lineOf(node) })
    }
    const what = oddityOf(node)
    if (what !== undefined) oddities.push({ what, line: lineOf(node) })
    ts.forEachChild(node, visit)
  }
  visit(source)
  return { path, lines: text.replace(/\n$/, '').split('\n').length, imports, oddities }
}

interface Found extends Pick<Import, 'isTypeOnly' | 'isDynamic'> {
  /** undefined where only the running program knows it. */
  readonly specifier: string | undefined
}

function importIn(node: ts.Node): Found | undefined {
  // `import { type A }` keeps the import itself under verbatimModuleSyntax: only `import type` is erased.
  if (ts.isImportDeclaration(node)) {
    const isTypeOnly = node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword
    return { specifier: textOf(node.moduleSpecifier), isTypeOnly, isDynamic: false }
  }
  if (ts.isExportDeclaration(node) && node.moduleSpecifier !== undefined) {
    return {
      specifier: textOf(node.moduleSpecifier),
      isTypeOnly: node.isTypeOnly,
      isDynamic: false,
    }
  }
  if (ts.isImportTypeNode(node)) {
    const argument = ts.isLiteralTypeNode(node.argument) ? node.argument.literal : undefined
    return { specifier: textOf(argument), isTypeOnly: true, isDynamic: false }
  }
  if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
    return { specifier: textOf(node.arguments[0]), isTypeOnly: false, isDynamic: true }
  }
  return undefined
}

function textOf(node: ts.Node | undefined): string | undefined {
  return node !== undefined && ts.isStringLiteralLike(node) ? node.text : undefined
}

function resolveImport(from: string, specifier: string): Pick<Import, 'target' | 'kind'> {
  if (specifier.startsWith('.')) {
    return { target: posix.join(posix.dirname(from), specifier), kind: 'file' }
  }
  if (isBuiltin(specifier)) return { target: specifier, kind: 'builtin' }
  const parts = specifier.split('/')
  const target = parts.slice(0, specifier.startsWith('@') ? 2 : 1).join('/')
  return { target, kind: 'package' }
}

function oddityOf(node: ts.Node): Oddity['what'] | undefined {
  if (ts.isExportAssignment(node)) return 'default export'
  const modifiers = ts.canHaveModifiers(node) ? (ts.getModifiers(node) ?? []) : []
  if (modifiers.some(({ kind }) => kind === ts.SyntaxKind.DefaultKeyword)) return 'default export'
  if (ts.isExportSpecifier(node) && node.name.text === 'default') return 'default export'
  if (ts.isVariableStatement(node) && ts.isSourceFile(node.parent)) {
    return node.declarationList.flags & ts.NodeFlags.Const ? undefined : 'module state'
  }
  if (isWebClient(node)) return 'web client'
  const isExit =
    ts.isPropertyAccessExpression(node) &&
    node.name.text === 'exit' &&
    node.expression.getText() === 'process'
  return isExit ? 'process.exit' : undefined
}

const WEB_CLIENTS = new Set(['fetch', 'WebSocket', 'EventSource'])

/** One of Node's globals that dial out: named as a value by itself, or as a property of globalThis. */
function isWebClient(node: ts.Node): boolean {
  if (!ts.isIdentifier(node) || !WEB_CLIENTS.has(node.text)) return false
  const { parent } = node
  if (ts.isPropertyAccessExpression(parent) && parent.name === node) {
    return parent.expression.getText() === 'globalThis'
  }
  if (ts.isShorthandPropertyAssignment(parent)) return true
  // A name of somebody's own: a member, a parameter, a type.
  const names = 'name' in parent ? parent.name : undefined
  return names !== node && !ts.isTypeReferenceNode(parent)
}
