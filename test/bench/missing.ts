import { spawnSync } from 'node:child_process'

import { ensureBinaries, type Binaries } from '../e2e/cluster/binaries.ts'
import { ensurePackages, findProgram } from '../e2e/cluster/packages.ts'
import { findCompiler } from './c/program.ts'
import type { Need } from './row.ts'
import { SEAL } from './worlds/sealed-process.ts'

/** What this machine lacks, and why; what it has is not in there. */
export type Missing = ReadonlyMap<Need, string>

export interface Supplies {
  readonly missing: Missing
  /** The programs of a control plane, where they are needed and there. */
  readonly binaries: Binaries | undefined
}

/** Looks for what the rows need; what takes minutes to build is built only where a row needs it. */
export async function findSupplies(
  needs: ReadonlySet<Need>,
  report: (line: string) => void,
): Promise<Supplies> {
  const missing = new Map<Need, string>()
  if (process.getuid?.() !== 0) missing.set('root', 'needs root')
  else if (!mayMakeNamespaces()) missing.set('root', 'needs the right to make namespaces')
  if (findCompiler() === undefined) missing.set('compiler', 'needs a C compiler: cc, gcc or clang')
  const isRoot = !missing.has('root')
  let binaries: Binaries | undefined
  if (isRoot && (needs.has('api server') || needs.has('cluster'))) {
    await lookFor(missing, 'api server', async () => {
      binaries = await ensureBinaries(report)
      for (const name of ['ip', 'openssl']) {
        if (findProgram(name) === undefined) throw new Error(`needs the program ${name}`)
      }
    })
  }
  if (isRoot && needs.has('cluster')) {
    await lookFor(missing, 'cluster', () => ensurePackages(report))
  }
  return { missing, binaries }
}

/** Why a row cannot be measured here; undefined where it can. */
export function whySkipped(needs: readonly Need[], missing: Missing): string | undefined {
  const reasons = needs.flatMap((need) => missing.get(need) ?? [])
  return reasons.length === 0 ? undefined : [...new Set(reasons)].join('; ')
}

async function lookFor(
  missing: Map<Need, string>,
  need: Need,
  look: () => Promise<void>,
): Promise<void> {
  try {
    await look()
  } catch (thrown) {
    missing.set(need, thrown instanceof Error ? thrown.message : String(thrown))
  }
}

function mayMakeNamespaces(): boolean {
  const [unshare, ...words] = SEAL
  return spawnSync(unshare, [...words, 'true'], { stdio: 'ignore' }).status === 0
}
