import { spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import type { Cgroups } from './cgroups.ts'
import { createCgroups, handDownControllers } from './cgroups.ts'
import { capture, run } from './command.ts'
import type { ProcessIdentity } from './processes.ts'
import { childrenOf, identify } from './processes.ts'
import { until } from './until.ts'

export const NODE_NAME = 'latchkey-e2e'
export const NODE_ADDRESS = '10.77.0.10'
export const API_SERVICE_ADDRESS = '10.96.0.1'
const GATEWAY = '10.77.0.1'

/** The node's own mount, network, pid, ipc, uts and cgroup namespaces, held open by its process 1. */
export interface Seal {
  /** Process 1 of the node, by its pid outside. */
  readonly pid: number
  /** The process outside that waits for it. */
  readonly keeper: ProcessIdentity
  readonly cgroupFolders: readonly string[]
}

// kubelet wants to write these; protectKernelDefaults makes it only look, and what it sees is a
// file laid over each of them. The machine's own values stay as they are.
const WANTED_SYSCTLS: Readonly<Record<string, string>> = {
  'vm/overcommit_memory': '1',
  'kernel/panic': '10',
  'kernel/panic_on_oops': '1',
  'kernel/keys/root_maxkeys': '1000000',
  'kernel/keys/root_maxbytes': '25000000',
}

/** The command that runs `command` on the node: in its control groups and all its namespaces. */
export function inside(seal: Seal, command: readonly string[]): string[] {
  const namespaces = ['-m', '-n', '-u', '-i', '-p', '-C']
  return joining(seal.cgroupFolders, [
    ...['nsenter', '-t', String(seal.pid), ...namespaces, '--'],
    ...command,
  ])
}

/**
 * Starts process 1 in new namespaces and furnishes them. It ends, and everything on the node with
 * it, when this process ends in whatever way; unless `outlive` is set.
 */
export async function createSeal(options: {
  readonly cgroups: Cgroups
  readonly pausePath: string
  /** Becomes the node's /var/lib/kubelet. */
  readonly kubeletFolder: string
  readonly scratchFolder: string
  readonly logFolder: string
  readonly outlive: boolean
  /** Told as soon as there is something to end. */
  readonly created: (seal: Seal) => void
  readonly signal?: AbortSignal
}): Promise<Seal> {
  const { cgroups, pausePath, outlive, signal } = options
  const flags = ['--mount', '--net', '--uts', '--ipc', '--pid', '--cgroup', '--fork']
  const first = outlive ? [pausePath] : [pausePath, '--until-eof']
  const [file = '', ...args] = joining(cgroups.folders, ['unshare', ...flags, ...first])
  createCgroups(cgroups)
  const logFile = join(options.logFolder, 'process-1.log')
  const log = openSync(logFile, 'a')
  const child = spawn(file, args, {
    detached: true,
    // The pipe is the leash: the kernel closes our end however this process dies.
    stdio: [outlive ? 'ignore' : 'pipe', log, log],
  })
  closeSync(log)
  child.on('error', () => undefined)
  child.stdin?.on('error', () => undefined)
  child.unref()
  const { pid, keeper } = await until(() => findFirst(child.pid), {
    what: `process 1 of the new namespaces; see ${logFile}`,
    withinMs: 5_000,
    everyMs: 10,
    signal,
  })
  const seal = { pid, keeper, cgroupFolders: cgroups.joined }
  options.created(seal)
  moveToLeaf(cgroups, [keeper.pid, pid])
  await furnish(seal, cgroups, options.kubeletFolder, options.scratchFolder, signal)
  return seal
}

function joining(cgroupFolders: readonly string[], command: readonly string[]): string[] {
  // The shell moves itself and then becomes the command, so no child is ever outside.
  const script =
    'n=$1; shift; while [ "$n" -gt 0 ]; do echo $$ > "$1/cgroup.procs" || exit 125; shift; ' +
    'n=$((n-1)); done; exec "$@"'
  const count = String(cgroupFolders.length)
  return ['bash', '-c', script, 'join', count, ...cgroupFolders, ...command]
}

function findFirst(
  outer: number | undefined,
): { pid: number; keeper: ProcessIdentity } | undefined {
  const keeper = outer === undefined ? undefined : identify(outer)
  const pid = keeper === undefined ? undefined : childrenOf(keeper.pid)[0]?.pid
  return keeper === undefined || pid === undefined ? undefined : { pid, keeper }
}

function moveToLeaf(cgroups: Cgroups, pids: readonly number[]): void {
  if (cgroups.joined === cgroups.folders) return
  for (const leaf of cgroups.joined) {
    for (const pid of pids) writeFileSync(join(leaf, 'cgroup.procs'), String(pid))
  }
  for (const folder of cgroups.folders) handDownControllers(folder)
}

async function furnish(
  seal: Seal,
  cgroups: Cgroups,
  kubeletFolder: string,
  scratchFolder: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  mkdirSync(scratchFolder, { recursive: true })
  const steps = [
    ...fileSystems(cgroups),
    ['mkdir', '-p', '/run/lock', '/run/netns', '/var/lib/kubelet'],
    // Bidirectional mounts of containers have to reach kubelet and other containers, so this one
    // mount is shared; it is private to the namespace all the same.
    ['mount', '--bind', kubeletFolder, '/var/lib/kubelet'],
    ['mount', '--make-rshared', '/var/lib/kubelet'],
    ...overlaidFiles(scratchFolder).map(([from, to]) => ['mount', '--bind', from, to]),
    ['hostname', NODE_NAME],
    ...network(),
  ]
  for (const step of steps) await run(inside(seal, step), signal ? { signal } : {})
  // A default route that leads nowhere: kubelet and the API server look for one to find themselves.
  const route = await capture(inside(seal, ['ip', 'route']), signal ? { signal } : {})
  if (!route.includes(`default via ${GATEWAY}`)) throw new Error(`e2e: no default route: ${route}`)
}

function fileSystems(cgroups: Cgroups): string[][] {
  const tmpfs = ['mount', '-t', 'tmpfs', '-o', 'mode=755', 'tmpfs']
  const isVersion2 = cgroups.mounts.some(({ type }) => type === 'cgroup2')
  const controllers = cgroups.mounts.flatMap(({ options, folder }) => [
    ['mkdir', '-p', `/sys/fs/cgroup/${folder}`],
    ['mount', '-t', 'cgroup', '-o', options, 'cgroup', `/sys/fs/cgroup/${folder}`],
    ...linkNames(folder),
  ])
  return [
    ['mount', '-t', 'proc', 'proc', '/proc'],
    ['mount', '-t', 'sysfs', 'sysfs', '/sys'],
    ...(isVersion2
      ? [['mount', '-t', 'cgroup2', 'cgroup2', '/sys/fs/cgroup']]
      : [[...tmpfs, '/sys/fs/cgroup'], ...controllers]),
    ...['/run', '/var/lib', '/var/log'].map((folder) => [...tmpfs, folder]),
  ]
}

/** Where `cpu` and `cpuacct` are one hierarchy, runc looks for each by its own name. */
function linkNames(folder: string): string[][] {
  const names = folder.split(',')
  if (names.length === 1) return []
  return names.map((name) => ['ln', '-s', folder, `/sys/fs/cgroup/${name}`])
}

function overlaidFiles(scratchFolder: string): [string, string][] {
  const texts: [string, string][] = [
    ['/etc/hosts', `127.0.0.1 localhost\n${NODE_ADDRESS} ${NODE_NAME}\n`],
    ['/etc/resolv.conf', ''],
    ...Object.entries(WANTED_SYSCTLS).map(([name, value]): [string, string] => [
      `/proc/sys/${name}`,
      `${value}\n`,
    ]),
  ]
  return texts.map(([target, text]) => {
    const file = join(scratchFolder, target.slice(1).replaceAll('/', '-'))
    writeFileSync(file, text)
    return [file, target]
  })
}

function network(): string[][] {
  // A node address on the loopback is refused, hence a pair of our own. No kube-proxy runs: the one
  // service that pods need, the API server's, is a rewrite rule.
  const toApiServer = ['-d', `${API_SERVICE_ADDRESS}/32`, '-p', 'tcp', '--dport', '443']
  return [
    ['ip', 'link', 'set', 'lo', 'up'],
    ['ip', 'link', 'add', 'node0', 'type', 'veth', 'peer', 'name', 'node0p'],
    ['ip', 'addr', 'add', `${NODE_ADDRESS}/24`, 'dev', 'node0'],
    ['ip', 'link', 'set', 'node0', 'up'],
    ['ip', 'link', 'set', 'node0p', 'up'],
    ['ip', 'route', 'add', 'default', 'via', GATEWAY],
    ['sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward'],
    ...['OUTPUT', 'PREROUTING'].map((chain) => [
      ...['iptables', '-t', 'nat', '-A', chain, ...toApiServer],
      ...['-j', 'DNAT', '--to-destination', `${NODE_ADDRESS}:6443`],
    ]),
  ]
}
