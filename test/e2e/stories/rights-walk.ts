import { Agent, request } from 'node:https'
import { text } from 'node:stream/consumers'

/*
 * Run on the node, by a story: asks the API server with one token for everything that its own discovery tells
 * of, verb by verb, and prints what was not forbidden. Nothing it asks changes anything, should it be allowed:
 * writes are dry runs, and mostly of what is not there. Authorisation comes before either is looked at.
 */
export interface WalkOrder {
  readonly server: string
  readonly authorityPem: string
  readonly token: string
  readonly namespaces: readonly string[]
  /** Resource -> names that are there, to be asked for beside one that is not. */
  readonly names: Readonly<Record<string, readonly string[]>>
  /** Paths that are no resources. */
  readonly paths: readonly string[]
}

export interface WalkReport {
  readonly asked: number
  /** Resources and subresources that discovery told of, of all versions. */
  readonly resources: readonly string[]
  /** "verb resource.group" or "verb /path" -> status codes other than 403. */
  readonly allowed: Readonly<Record<string, readonly number[]>>
  /** The API server's own sum of it, for each namespace. */
  readonly rules: Readonly<Record<string, unknown>>
}

interface Ask {
  /** As in `allowed`. */
  readonly what: string
  readonly method: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
}

interface Discovered {
  readonly resource: string
  readonly verbs: readonly string[]
  readonly scope?: 'Namespaced' | 'Cluster'
  readonly subresources?: readonly { readonly subresource: string; readonly verbs: string[] }[]
}

interface Discovery {
  readonly items: readonly {
    readonly metadata: { readonly name?: string }
    readonly versions: readonly { readonly version: string; readonly resources: Discovered[] }[]
  }[]
}

const DISCOVERY = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList'
const ABSENT = 'latchkey-absent'
const AT_ONCE = 12
const TIMEOUT_MS = 20_000
const BUSY = 429

/** Verb -> method, whether a name is in the path, and the query. */
const VERBS: Readonly<Record<string, readonly [method: string, named: boolean, query: string]>> = {
  get: ['GET', true, ''],
  list: ['GET', false, ''],
  watch: ['GET', false, '?watch=true&timeoutSeconds=1'],
  create: ['POST', false, '?dryRun=All'],
  update: ['PUT', true, '?dryRun=All'],
  patch: ['PATCH', true, '?dryRun=All'],
  delete: ['DELETE', true, '?dryRun=All'],
  deletecollection: ['DELETE', false, '?dryRun=All'],
}
/** Whoever may be somebody else may do what they may. */
const DISGUISES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'impersonate users': { 'impersonate-user': 'admin' },
  'impersonate serviceaccounts': {
    'impersonate-user': 'system:serviceaccount:kube-system:node-controller',
  },
  'impersonate groups': { 'impersonate-user': 'admin', 'impersonate-group': 'system:masters' },
}

function asksOf(order: WalkOrder, groups: Discovery): { resources: string[]; asks: Ask[] } {
  const resources: string[] = []
  const asks: Ask[] = []
  for (const { metadata, versions } of groups.items) {
    const group = metadata.name ?? ''
    for (const { version, resources: found } of versions) {
      const root = group === '' ? `/api/${version}` : `/apis/${group}/${version}`
      for (const { resource, verbs, scope, subresources = [] } of found) {
        const kinds = [{ sub: '', verbs }, ...subresources.map(subresourceOf)]
        for (const { sub, verbs: offered } of kinds) {
          const name = `${resource}${sub}${group === '' ? '' : `.${group}`}`
          resources.push(`${name} ${version}`)
          for (const place of placesOf(order, root, scope)) {
            asks.push(
              ...offered.flatMap((verb) => asksFor(order, verb, name, place, resource, sub)),
            )
          }
        }
      }
    }
  }
  return { resources, asks }
}

function subresourceOf(found: { readonly subresource: string; readonly verbs: string[] }) {
  return { sub: `/${found.subresource}`, verbs: found.verbs }
}

/** Of all namespaces at once, too. */
function placesOf({ namespaces }: WalkOrder, root: string, scope: Discovered['scope']): string[] {
  if (scope !== 'Namespaced') return [root]
  return [root, ...namespaces.map((namespace) => `${root}/namespaces/${namespace}`)]
}

function asksFor(
  { names }: WalkOrder,
  verb: string,
  name: string,
  place: string,
  resource: string,
  sub: string,
): Ask[] {
  const known = VERBS[verb]
  if (known === undefined) throw new Error(`discovery tells of a verb that nobody knows: ${verb}`)
  const [method, isNamed, query] = known
  const what = `${verb} ${name}`
  if (!isNamed && sub === '') return [{ what, method, path: `${place}/${resource}${query}` }]
  return [ABSENT, ...(names[resource] ?? [])].map((one) => ({
    what,
    method,
    path: `${place}/${resource}/${one}${sub}${query}`,
  }))
}

class Caller {
  readonly #order: WalkOrder
  readonly #agent: Agent

  constructor(order: WalkOrder) {
    this.#order = order
    const ca = order.authorityPem
    this.#agent = new Agent({ ca, keepAlive: true, maxSockets: AT_ONCE })
  }

  async send(
    ask: Omit<Ask, 'what'>,
    body?: object,
  ): Promise<{ readonly status: number; readonly body: string }> {
    const { server, token } = this.#order
    const { method, path, headers } = ask
    const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json'
    const content = method === 'GET' ? '' : JSON.stringify(body ?? {})
    const sent = {
      authorization: `Bearer ${token}`,
      'content-type': type,
      // Node states none with DELETE, and the body would be taken for the next request.
      'content-length': content.length,
      ...headers,
    }
    for (;;) {
      const answer = await new Promise<{ status: number; body: string }>((resolve, reject) => {
        const options = { agent: this.#agent, method, headers: sent, timeout: TIMEOUT_MS }
        const call = request(server + path, options, (response) => {
          const status = response.statusCode ?? 0
          text(response).then((said) => {
            resolve({ status, body: said })
          }, reject)
        })
        call.on('timeout', () => call.destroy(new Error(`${method} ${path}: no answer`)))
        call.on('error', reject)
        call.end(content)
      })
      if (answer.status !== BUSY) return answer
    }
  }

  /** The rules that the API server knows of for this token, in one namespace. */
  async rulesIn(namespace: string): Promise<unknown> {
    const path = '/apis/authorization.k8s.io/v1/selfsubjectrulesreviews'
    const kind = { apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectRulesReview' }
    const { body } = await this.send({ method: 'POST', path }, { ...kind, spec: { namespace } })
    return (JSON.parse(body) as { readonly status: unknown }).status
  }

  async discover(root: string): Promise<Discovery> {
    const headers = { accept: DISCOVERY }
    const { status, body } = await this.send({ method: 'GET', path: root, headers })
    if (status !== 200) throw new Error(`discovery of ${root}: ${status} ${body}`)
    return JSON.parse(body) as Discovery
  }

  close(): void {
    this.#agent.destroy()
  }
}

async function walk(order: WalkOrder): Promise<WalkReport> {
  const caller = new Caller(order)
  const [core, others] = await Promise.all([caller.discover('/api'), caller.discover('/apis')])
  const { resources, asks } = asksOf(order, { items: [...core.items, ...others.items] })
  const plain = order.paths.map((path) => ({ what: `get ${path}`, method: 'GET', path }))
  const disguised = Object.entries(DISGUISES).map(([what, headers]) => ({
    ...{ what, method: 'GET', path: '/version', headers },
  }))
  const queue = [...asks, ...plain, ...disguised]
  const asked = queue.length
  const allowed: Record<string, number[]> = {}
  const work = async (): Promise<void> => {
    for (let ask = queue.pop(); ask !== undefined; ask = queue.pop()) {
      const { status } = await caller.send(ask)
      if (status === 403) continue
      const seen = (allowed[ask.what] ??= [])
      if (!seen.includes(status)) seen.push(status)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  const rules: Record<string, unknown> = {}
  for (const namespace of order.namespaces) rules[namespace] = await caller.rulesIn(namespace)
  caller.close()
  return { asked, resources, allowed, rules }
}

const order = JSON.parse(await text(process.stdin)) as WalkOrder
process.stdout.write(JSON.stringify(await walk(order)))
