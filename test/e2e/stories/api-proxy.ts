import { request } from 'node:http'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { createInterface } from 'node:readline'

import type { ExecutionContext } from 'ava'

import type { ClusterNode } from '../cluster/cluster.ts'
import { until } from '../cluster/until.ts'

/** The API server without a kubectl to be started for each call, which costs more than the call. */
export interface ApiProxy {
  /** A merge patch of one object; answers when the API server has. */
  patch(path: string, body: object): Promise<void>
  /** Tells of each state of one object, from the present one on, until the story ends. */
  watch(path: string, name: string, onState: (state: unknown) => void): void
}

/** Runs `kubectl proxy` on the node until the story ends. */
export async function openApiProxy(t: ExecutionContext, node: ClusterNode): Promise<ApiProxy> {
  // A socket's name crosses from the node's network namespace to ours, a port would not.
  const folder = mkdtempSync(join(tmpdir(), 'kubectl-proxy-'))
  const socketPath = join(folder, 'api.sock')
  const proxy = node.service(basename(folder), [
    ...node.kubectl,
    'proxy',
    `--unix-socket=${socketPath}`,
    '--disable-filter=true',
  ])
  proxy.start()
  t.teardown(async () => {
    await proxy.kill()
    rmSync(folder, { recursive: true, force: true })
  })
  const send = (method: string, path: string, body?: object): Promise<void> =>
    new Promise((resolve, reject) => {
      const headers = { 'content-type': 'application/merge-patch+json' }
      const call = request({ socketPath, method, path, headers }, (answer) => {
        answer.resume().on('end', () => {
          if (answer.statusCode === 200) resolve()
          else reject(new Error(`${method} ${path}: ${String(answer.statusCode)}`))
        })
      })
      call.on('error', reject)
      call.end(body === undefined ? undefined : JSON.stringify(body))
    })
  await until(() => send('GET', '/readyz').then(() => true), {
    what: 'kubectl proxy to listen',
    withinMs: 10_000,
  })
  const watch = (path: string, name: string, onState: (state: unknown) => void): void => {
    const query = `watch=1&fieldSelector=metadata.name%3D${name}`
    const call = request({ socketPath, path: `${path}?${query}` }, (answer) => {
      // Its end comes as an error, to both of them.
      answer.on('error', () => undefined)
      const lines = createInterface({ input: answer }).on('error', () => undefined)
      lines.on('line', (line) => {
        onState((JSON.parse(line) as { readonly object: unknown }).object)
      })
    })
    call.on('error', () => undefined)
    call.end()
    t.teardown(() => call.destroy())
  }
  return { patch: (path, body) => send('PATCH', path, body), watch }
}
