import { lstatSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { planCgroups, removeCgroups } from './cgroups.ts'
import type { Cgroups } from './cgroups.ts'
import type { ProcessIdentity } from './processes.ts'
import { childrenOf, identify, isRunning, signalProcess, waitForEnd } from './processes.ts'
import type { Seal } from './seal.ts'

/** One fixed place, so that a run finds what an earlier one could not take away. On disk: the
 * images of a node would fill a small tmpfs. */
export const RUN_FOLDER = '/var/tmp/latchkey-e2e'
const CLEAN_WITHIN_MS = 30_000

interface Claim {
  readonly owner: ProcessIdentity
  readonly cgroupFolders: readonly string[]
  readonly seal?: Seal
}

/**
 * Makes the run folder ours: removes what a crashed run left, refuses while another one lives.
 * The cgroups to come are written down before anything is made.
 */
export async function claimRunFolder(): Promise<Cgroups> {
  await removeLeftovers()
  const cgroups = planCgroups()
  const owner = identify(process.pid)
  if (owner === undefined) throw new Error('/proc does not show this process')
  mkdirSync(RUN_FOLDER, { mode: 0o700 })
  writeClaim({ owner, cgroupFolders: cgroups.folders })
  return cgroups
}

/** Adds to the claim what has to end first when it is released. */
export function recordSeal(seal: Seal): void {
  const claim = readClaim()
  if (claim === undefined) throw new Error(`${RUN_FOLDER} has gone while it was in use`)
  writeClaim({ ...claim, seal })
}

/** Ends and removes all that the run folder's claim names, then the folder. */
export async function releaseRunFolder(): Promise<void> {
  const claim = readClaim()
  if (claim?.seal !== undefined) await endSeal(claim.seal)
  // The groups hold every process of the node, and nothing else was ever put into them. Mounts
  // and network interfaces are the namespaces' own and end with their last process.
  const folders = claim?.cgroupFolders ?? planCgroups().folders
  await removeCgroups(folders, CLEAN_WITHIN_MS)
  rmSync(RUN_FOLDER, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
}

/** The same for whatever an earlier run has left behind, kept on purpose or not. */
export async function removeLeftovers(): Promise<void> {
  const stat = lstatSync(RUN_FOLDER, { throwIfNoEntry: false })
  if (stat === undefined) return
  if (!stat.isDirectory() || stat.uid !== 0) {
    throw new Error(`${RUN_FOLDER} is not a folder of root; remove it`)
  }
  const claim = readClaim()
  if (claim !== undefined && isRunning(claim.owner) && claim.owner.pid !== process.pid) {
    throw new Error(`another run (process ${claim.owner.pid}) is using ${RUN_FOLDER}`)
  }
  await releaseRunFolder()
}

/** With process 1 the kernel ends all others of the node, and what started it reaps it. */
async function endSeal(seal: Seal): Promise<void> {
  if (!isRunning(seal.keeper)) return
  for (const first of childrenOf(seal.keeper.pid)) signalProcess(first, 'SIGKILL')
  await waitForEnd(seal.keeper, CLEAN_WITHIN_MS).catch(() => undefined)
}

function writeClaim(claim: Claim): void {
  const file = join(RUN_FOLDER, 'claim.json')
  writeFileSync(`${file}.new`, JSON.stringify(claim))
  renameSync(`${file}.new`, file)
}

function readClaim(): Claim | undefined {
  try {
    return JSON.parse(readFileSync(join(RUN_FOLDER, 'claim.json'), 'utf8')) as Claim
  } catch {
    return undefined
  }
}
