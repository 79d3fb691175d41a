import { spawn } from 'node:child_process'
import { closeSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import type { Cgroups } from './cgroups.ts'
import { createCgroups, handDownControllers } from './cgroups.ts'
import type { ProcessIdentity } from './processes.ts'
import { childrenOf, identify } from './processes.ts'
import { until } from './until.ts'

export const NODE_NAME = 'latchkey-e2e'
export const NODE_ADDRESS = '10.77.0.10'
export const API_SERVICE_ADDRESS = '10.96.0.1'

/** The node's own mount, network, pid, ipc, uts and cgroup namespaces, held open by its process 1. */
export interface Seal {
  /** Process 1 of the node, by its pid outside. */
  readonly pid: number
  /** The process outside that waits for it. */
  readonly keeper: ProcessIdentity
  readonly cgroupFolders: readonly string[]
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
 * Starts process 1 in new namespaces, which are bare as yet. It ends, and everything on the node with
 * it, when this process ends in whatever way; unless `outlive` is set.
 */
export async function createSeal(options: {
  readonly cgroups: Cgroups
  readonly pausePath: string
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
