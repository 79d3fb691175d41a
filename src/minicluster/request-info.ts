/** What a request asks for, in the words of RBAC. */
export type RequestInfo = ResourceRequest | PathRequest

export interface ResourceRequest {
  readonly kind: 'resource'
  readonly verb: string
  readonly apiGroup: string
  readonly apiVersion: string
  /** '' at the cluster scope. */
  readonly namespace: string
  readonly resource: string
  readonly subresource: string
  /** '' for a collection, unless a field selector names the one object. */
  readonly name: string
}

export interface PathRequest {
  readonly kind: 'path'
  readonly verb: string
  readonly path: string
}

const WRITE_VERBS: Readonly<Record<string, string>> = {
  POST: 'create',
  PUT: 'update',
  PATCH: 'patch',
}

/** As RequestInfoFactory of k8s.io/apiserver reads a request; undefined where the path is no UTF-8. */
export function parseRequestInfo(method: string, url: URL): RequestInfo | undefined {
  const parts = decodeParts(url.pathname)
  if (parts === undefined) return undefined
  const [root, ...rest] = parts
  if (root === 'api' && rest.length >= 2) {
    const [apiVersion = '', ...path] = rest
    return resourceRequest(method, url, { apiGroup: '', apiVersion }, path)
  }
  if (root === 'apis' && rest.length >= 3) {
    const [apiGroup = '', apiVersion = '', ...path] = rest
    return resourceRequest(method, url, { apiGroup, apiVersion }, path)
  }
  return { kind: 'path', verb: method.toLowerCase(), path: url.pathname }
}

function resourceRequest(
  method: string,
  url: URL,
  api: Pick<ResourceRequest, 'apiGroup' | 'apiVersion'>,
  path: readonly string[],
): ResourceRequest {
  const isNamespaced = path[0] === 'namespaces' && path.length > 2
  const namespace = isNamespaced || path[0] === 'namespaces' ? (path[1] ?? '') : ''
  const [resource = '', pathName = '', subresource = ''] = isNamespaced ? path.slice(2) : path
  const verb = verbOf(method, pathName, url.searchParams)
  const bySelector = ['list', 'watch', 'deletecollection'].includes(verb)
  const name = bySelector ? (selectedName(url.searchParams) ?? '') : pathName
  return { kind: 'resource', ...api, verb, namespace, resource, subresource, name }
}

function verbOf(method: string, name: string, query: URLSearchParams): string {
  if (method === 'DELETE') return name === '' ? 'deletecollection' : 'delete'
  if (method !== 'GET' && method !== 'HEAD') return WRITE_VERBS[method] ?? method.toLowerCase()
  if (name !== '') return 'get'
  return isTrue(query.get('watch')) ? 'watch' : 'list'
}

/** A parameter that is there counts as true unless it says "false" or "0". */
export function isTrue(parameter: string | null): boolean {
  return parameter !== null && parameter !== 'false' && parameter !== '0'
}

/**
 * The name in `fieldSelector=metadata.name=NAME`, which RBAC holds against resourceNames; undefined where
 * the selector has none, or the options cannot be read at all.
 */
export function selectedName(query: URLSearchParams): string | undefined {
  const timeout = query.get('timeoutSeconds')
  if (timeout !== null && !/^-?\d+$/.test(timeout)) return undefined
  for (const term of (query.get('fieldSelector') ?? '').split(',')) {
    const name = /^metadata\.name==?([^=!]+)$/.exec(term)?.[1]
    if (name !== undefined) return name
  }
  return undefined
}

function decodeParts(path: string): readonly string[] | undefined {
  try {
    return path.split('/').filter(Boolean).map(decodeURIComponent)
  } catch {
    return undefined
  }
}
