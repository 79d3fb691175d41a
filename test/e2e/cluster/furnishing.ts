import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import type { Cgroups } from './cgroups.ts'
import { run } from './command.ts'
import type { Seal } from './seal.ts'
import { API_SERVICE_ADDRESS, inside, NODE_ADDRESS, NODE_NAME } from './seal.ts'

/** The API server's host name, as the tokens of service accounts give their issuer. */
export const ISSUER_HOST = 'kubernetes.default.svc.cluster.local'
const GATEWAY = '10.77.0.1'

// kubelet wants to write these; protectKernelDefaults makes it only look, and what it sees is a
// file laid over each of them. The machine's own values stay as they are.
const WANTED_SYSCTLS: Readonly<Record<string, string>> = {
  'vm/overcommit_memory': '1',
  'kernel/panic': '10',
  'kernel/panic_on_oops': '1',
  'kernel/keys/root_maxkeys': '1000000',
  'kernel/keys/root_maxbytes': '25000000',
}

// /etc/resolv.conf is often a link into /run, which is empty by now; containerd insists on the file.
const LAY_OVER = `
  target=$(readlink -m "$2")
  case $target in /run/*) mkdir -p "\${target%/*}" && touch "$target" ;; esac
  [ ! -e "$target" ] || mount --bind "$1" "$target"`

/** Gives the bare namespaces file systems, a name and a network, as a node has them. */
export async function furnish(
  seal: Seal,
  cgroups: Cgroups,
  /** Becomes the node's /var/lib/kubelet. */
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
    ...overlaidFiles(scratchFolder).map(([from, to]) => ['sh', '-c', LAY_OVER, 'sh', from, to]),
    ['hostname', NODE_NAME],
    ...network(),
  ]
  for (const step of steps) {
    await run(inside(seal, step), { label: step.join(' '), ...(signal && { signal }) })
  }
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
    // Vault asks the issuer of tokens for its keys by the name that these carry.
    [
      '/etc/hosts',
      `127.0.0.1 localhost\n${NODE_ADDRESS} ${NODE_NAME}\n${API_SERVICE_ADDRESS} ${ISSUER_HOST}\n`,
    ],
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
    // It leads nowhere. kubelet and the API server look for one to find their own address.
    ['ip', 'route', 'add', 'default', 'via', GATEWAY],
    ['sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward'],
    ...['OUTPUT', 'PREROUTING'].map((chain) => [
      ...['iptables', '-t', 'nat', '-A', chain, ...toApiServer],
      ...['-j', 'DNAT', '--to-destination', `${NODE_ADDRESS}:6443`],
    ]),
  ]
}
