import { LatchkeyError } from '../../../core/errors.ts'
import type { Workload } from '../../identity/workload.ts'
import type { PodToken } from './session-tokens.ts'
import type { VaultSettings } from './settings.ts'

/** The pod's token that logs in. Throws: TokenMissing, naming the line to add to the CSIDriver. */
export function podTokenOf({ tokens }: Workload, { name, auth }: VaultSettings): PodToken {
  const found = tokens.get(auth.audience)
  if (found !== undefined) return found
  throw new LatchkeyError(
    'TokenMissing',
    `no token for audience "${auth.audience}" came with the pod, which source "${name}" logs in with: add { audience: ${JSON.stringify(auth.audience)} } to spec.tokenRequests of the CSIDriver`,
  )
}
