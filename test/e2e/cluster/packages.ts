import { accessSync, constants, existsSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'

import { cached, cacheKey } from './cache.ts'
import type { CommandOptions } from './command.ts'
import { capture, run } from './command.ts'

type Report = (line: string) => void

/** Program -> the Debian package that brings it. A path stands for a file no PATH leads to. */
const PROGRAMS: Readonly<Record<string, string>> = {
  containerd: 'containerd',
  ctr: 'containerd',
  runc: 'runc',
  iptables: 'iptables',
  conntrack: 'conntrack',
  buildah: 'buildah',
  debootstrap: 'debootstrap',
  ip: 'iproute2',
  openssl: 'openssl',
  jq: 'jq',
  '/usr/lib/postgresql': 'postgresql',
  mount: 'mount',
  '/usr/lib/cni/bridge': 'containernetworking-plugins',
  '/etc/ssl/certs/ca-certificates.crt': 'ca-certificates',
}

const INSTALL = ['apt-get', 'install', '-y', '-q', '--no-install-recommends']
const SEARCHED = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin']

/** Checks that the machine can hold the node, and installs what Debian has of it. */
export async function ensurePackages(report: Report, signal?: AbortSignal): Promise<void> {
  if (process.platform !== 'linux') throw new Error('needs Linux, or --kubeconfig FILE')
  if (process.getuid?.() !== 0) {
    throw new Error('needs root for namespaces and cgroups; or --kubeconfig FILE')
  }
  const missing = missingPackages()
  if (missing.length === 0) return
  if (!isDebian()) {
    throw new Error(`install these first: ${missing.join(' ')} (Debian's package names)`)
  }
  report(`installing ${missing.join(' ')}`)
  const env = { DEBIAN_FRONTEND: 'noninteractive' }
  const options = { env, timeoutMs: 900_000, ...(signal && { signal }) }
  await run(['apt-get', 'update', '-q'], options)
  if (missing.includes('postgresql')) await forbidMainCluster(options)
  await run([...INSTALL, ...missing], options)
  const still = missingPackages()
  if (still.length > 0) throw new Error(`still missing after apt-get: ${still.join(' ')}`)
}

/** Path of a program, also where root's sbin folders are not on the PATH. */
export function findProgram(name: string): string | undefined {
  if (name.startsWith('/')) return existsSync(name) ? name : undefined
  return SEARCHED.map((folder) => join(folder, name)).find(isExecutable)
}

/**
 * Folder with Debian's prometheus and promtool. Taken out of the package where it is not installed:
 * installing it would start a server on this machine's port 9090.
 */
export async function ensurePrometheus(signal?: AbortSignal): Promise<string> {
  if (findProgram('/usr/bin/prometheus') && findProgram('/usr/bin/promtool')) return '/usr/bin'
  const options = { timeoutMs: 300_000, ...(signal && { signal }) }
  await run(['apt-get', 'update', '-q'], options)
  const version = await capture(['apt-cache', 'show', '--no-all-versions', 'prometheus'], options)
  const folder = await cached('prometheus', cacheKey(version), async (unfinished) => {
    await run(['apt-get', 'download', '-q', 'prometheus'], { ...options, cwd: unfinished })
    await run(['sh', '-c', 'dpkg-deb -x prometheus_*.deb . && rm prometheus_*.deb'], {
      ...options,
      cwd: unfinished,
    })
  })
  return join(folder, 'usr', 'bin')
}

/** Installing PostgreSQL would start a server on this machine's port 5432, but for this line. */
async function forbidMainCluster(options: CommandOptions): Promise<void> {
  const file = '/etc/postgresql-common/createcluster.conf'
  await run([...INSTALL, 'postgresql-common'], options)
  await run(['sed', '-i', '-E', 's/^#?create_main_cluster.*/create_main_cluster = false/', file])
}

function missingPackages(): string[] {
  const missing = Object.entries(PROGRAMS).filter(([program]) => findProgram(program) === undefined)
  return [...new Set(missing.map(([, name]) => name))]
}

function isDebian(): boolean {
  if (!existsSync('/etc/os-release')) return false
  return /^ID(_LIKE)?=.*debian/m.test(readFileSync('/etc/os-release', 'utf8'))
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
