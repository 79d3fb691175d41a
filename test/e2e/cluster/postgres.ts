import { readdirSync } from 'node:fs'
import { join } from 'node:path'

import type { ClusterNode } from './cluster.ts'
import type { Service } from './service.ts'
import { until } from './until.ts'

/** Where Debian puts each version of the server, on no PATH. */
const VERSIONS = '/usr/lib/postgresql'
const OWNER = 'postgres'
const AS_OWNER = ['setpriv', `--reuid=${OWNER}`, `--regid=${OWNER}`, '--clear-groups', '--']

/** A PostgreSQL of the node that believes whoever calls from the node itself. */
export interface Postgres {
  readonly port: number
  readonly service: Service
  /** The rows of a query as psql prints them, unaligned. */
  query(sql: string): Promise<string[]>
  /** Makes its data and starts it; returns when it answers. */
  start(signal?: AbortSignal): Promise<void>
}

/** The server of that name, started or not. Its data lies on the node's own tmpfs and ends with it. */
export function describePostgres(
  node: Pick<ClusterNode, 'run' | 'service'>,
  name: string,
  port: number,
): Postgres {
  const folder = join('/var/lib', name)
  const bin = join(VERSIONS, newestVersion(), 'bin')
  // It refuses to run as root. Nothing of it has to survive the node, so nothing waits for a disk.
  const server = [join(bin, 'postgres'), '-D', folder, '-h', '127.0.0.1', '-p', String(port)]
  const settings = ['-k', '', '-c', 'fsync=off', '-c', 'max_connections=50']
  const service = node.service(name, [...AS_OWNER, ...server, ...settings])
  const place = ['-h', '127.0.0.1', '-p', String(port), '-U', 'postgres']
  const postgres: Postgres = {
    port,
    service,
    async query(sql) {
      const { stdout } = await node.run([join(bin, 'psql'), ...place, '-tAc', sql, 'postgres'])
      return stdout
        .toString()
        .split('\n')
        .filter((line) => line !== '')
    },
    async start(signal) {
      const options = signal ? { signal } : {}
      await node.run(['install', '-d', '-o', OWNER, '-g', OWNER, '-m', '700', folder], options)
      const initdb = [join(bin, 'initdb'), '-D', folder, '-A', 'trust', '-U', 'postgres', '-N']
      await node.run([...AS_OWNER, ...initdb], options)
      service.start()
      await until(() => postgres.query('SELECT 1'), {
        what: `${name} to answer; see its log`,
        withinMs: 30_000,
        signal,
      })
    },
  }
  return postgres
}

function newestVersion(): string {
  const [newest] = readdirSync(VERSIONS).toSorted((a, b) => Number(b) - Number(a))
  if (newest === undefined) throw new Error(`${VERSIONS} is empty`)
  return newest
}
