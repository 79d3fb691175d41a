import { closeSync, openSync, readSync } from 'node:fs'
import { LatchkeyError } from '../core/errors.ts'
import { isDnsSubdomain } from '../core/kube-names.ts'
import type { Config, SourceConfig } from './config.ts'
import { parseConfig } from './parse.ts'
import type { Words } from './schema.ts'
import type { SourceWords } from './source-words.ts'

/** What is longer is not looked at: a ConfigMap holds 1 MiB at most, and this file is a page. */
export const MAX_FILE_BYTES = 256 * 1024

export interface ConfigOptions {
  /** Left out, every word has its default. */
  readonly file?: string | undefined
  /** `NODE_NAME` in it wins over the file's `node`. */
  readonly environment?: Readonly<Record<string, string | undefined>>
}

/**
 * The configuration that a side runs with.
 *
 * Throws: InvalidRequest, as `FILE:LINE:COLUMN: what is wrong` for the first thing that is wrong.
 */
export function loadConfig({ file, environment = {} }: ConfigOptions): Config {
  const { words, problems } = readWords(file)
  if (words !== undefined) return toConfig(words, environment['NODE_NAME'])
  const [first = 'not readable', ...more] = problems
  const rest = more.length === 0 ? '' : ` (and ${more.length} more: latchkey check lists them)`
  throw invalid(`${first}${rest}`)
}

/** Everything that is wrong with a file, one line each and in its order; empty where nothing is. */
export function checkConfig(file: string): readonly string[] {
  return readWords(file).problems ?? []
}

/** Throws: InvalidRequest where nobody has said which node this is. */
export function nodeNameOf({ node }: Config): string {
  if (node !== undefined) return node
  throw invalid('node: missing; set NODE_NAME in the environment, or node in the configuration')
}

type Reading =
  | { readonly words: Words; readonly problems?: never }
  | { readonly words?: never; readonly problems: readonly string[] }

function readWords(file: string | undefined): Reading {
  const { text, problem } = file === undefined ? { text: '' } : readText(file)
  if (problem !== undefined) return { problems: [`${file ?? ''}: ${problem}`] }
  const { words, problems } = parseConfig(text)
  if (words !== undefined) return { words }
  return {
    problems: problems.map(
      ({ line, column, message }) => `${file ?? ''}:${line}:${column}: ${message}`,
    ),
  }
}

type Text =
  | { readonly text: string; readonly problem?: never }
  | { readonly text?: never; readonly problem: string }

function readText(file: string): Text {
  try {
    const bytes = readAtMost(file, MAX_FILE_BYTES + 1)
    if (bytes.length > MAX_FILE_BYTES) return { problem: `larger than ${MAX_FILE_BYTES} bytes` }
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) }
  } catch (thrown) {
    const code = thrown instanceof Error && 'code' in thrown ? thrown.code : undefined
    if (code === 'ENOENT') return { problem: 'no such file' }
    if (code === 'ERR_ENCODING_INVALID_ENCODED_DATA') return { problem: 'not UTF-8 text' }
    return { problem: `cannot be read (${String(code)})` }
  }
}

/** Bounded while it reads: the size of a pipe or a device is not known before. */
function readAtMost(file: string, maxBytes: number): Buffer {
  const fd = openSync(file, 'r')
  try {
    const buffer = Buffer.alloc(maxBytes)
    let length = 0
    for (;;) {
      const read = readSync(fd, buffer, length, maxBytes - length, null)
      length += read
      if (read === 0 || length === maxBytes) return buffer.subarray(0, length)
    }
  } finally {
    closeSync(fd)
  }
}

function toConfig(words: Words, nodeFromEnvironment: string | undefined): Config {
  const {
    driver,
    audience,
    kubelet,
    sockets,
    volumes,
    limits,
    refresh,
    kubernetes,
    events,
    http,
    log,
  } = words
  return deepFreeze({
    driver,
    audience,
    node: checkedNode(nodeFromEnvironment) ?? words.node,
    kubelet,
    sockets,
    volumes: {
      maxBytes: volumes.maxBytes,
      allowSwap: volumes.allowSwap,
      selinuxContext: volumes.selinuxContext,
      oldGenerationLingerMs: volumes.oldGenerationLinger,
      endedGraceMs: volumes.endedGrace,
    },
    limits,
    refresh: { intervalMs: refresh.interval },
    events: { enabled: events.enabled, staleAfterMs: events.staleAfter },
    kubernetes: { kubeconfig: kubernetes.kubeconfig, timeoutMs: kubernetes.timeout },
    http,
    log,
    sources: words.sources.map(toSource),
  })
}

function toSource({ auth, limits, ...source }: SourceWords): SourceConfig {
  const { concurrent, perSecond, timeout, maxBytes } = limits
  return {
    kind: source.kind,
    name: source.name,
    address: source.address,
    caFile: source.caFile,
    serverName: source.serverName,
    namespace: source.namespace,
    auth: {
      method: auth.method,
      mount: auth.mount ?? auth.method,
      role: auth.role,
      audience: auth.audience,
    },
    limits: { concurrent, perSecond, timeoutMs: timeout, maxBytes },
  }
}

/** A manifest whose fieldRef is missing leaves the variable empty: that says nothing. */
function checkedNode(node: string | undefined): string | undefined {
  if (node === undefined || node === '') return undefined
  if (isDnsSubdomain(node)) return node
  throw invalid('environment variable NODE_NAME: expected the name of a node')
}

function deepFreeze<T extends object>(value: T): T {
  for (const inner of Object.values(value) as unknown[]) {
    if (typeof inner === 'object' && inner !== null) deepFreeze(inner)
  }
  return Object.freeze(value)
}

function invalid(message: string): LatchkeyError {
  return new LatchkeyError('InvalidRequest', message)
}
