import { ENDING } from './contract-ending.ts'
import { KV } from './contract-kv.ts'
import { LOGINS, REFUSALS } from './contract-logins.ts'
import type { ContractCase } from './contract-world.ts'

/** What Latchkey relies on in a Vault: true of the real one and of the double. */
export const CONTRACT: readonly ContractCase[] = [...LOGINS, ...KV, ...REFUSALS, ...ENDING]
