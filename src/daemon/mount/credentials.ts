import type { Workload } from '../identity/workload.ts'
import type { Item } from '../sources/item.ts'
import type { Stages } from './stages.ts'

/** A pod's tokens, newest and last but one: a fetch that was in line when they were replaced may still ask with the older. */
export class Credentials {
  #workload: Workload
  #retired: Workload | undefined

  constructor(workload: Workload) {
    this.#workload = workload
  }

  /** With the newest tokens that have been reviewed. */
  get workload(): Workload {
    return this.#workload
  }

  replace(workload: Workload): void {
    wipeTokens(this.#retired)
    this.#retired = this.#workload
    this.#workload = workload
  }

  wipe(): void {
    for (const workload of [this.#workload, this.#retired]) wipeTokens(workload)
  }
}

/**
 * Leaves a workload the token that proves its pod and those that its items' sources are asked with. kubelet brings
 * all that the CSIDriver names for every volume; whoever had the others could act as the pod, at the API server or
 * at a source, for a volume that asks nothing there. They are zeroed.
 */
export function keepNeeded(
  workload: Workload,
  items: readonly Item[],
  on: Pick<Stages, 'audience' | 'sources'>,
): Workload {
  const needed = new Set(audiencesFor(items, on))
  const tokens = [...workload.tokens]
  for (const [of, { token }] of tokens) if (!needed.has(of)) token.wipe()
  return { ...workload, tokens: new Map(tokens.filter(([of]) => needed.has(of))) }
}

/** Of the tokens that a volume with these items needs. */
export function audiencesFor(
  items: readonly Item[],
  { audience, sources }: Pick<Stages, 'audience' | 'sources'>,
): string[] {
  const ofSources = items.flatMap(({ from }) => sources.get(from)?.audience ?? [])
  return [...new Set([audience, ...ofSources])]
}

function wipeTokens(workload: Workload | undefined): void {
  for (const { token } of workload?.tokens.values() ?? []) token.wipe()
}
