import type * as http from 'node:http'
import type { VaultSettings } from '../../../../src/daemon/sources/vault/settings.ts'
import { logIn, signal } from './contract-world.ts'
import { startDoubleWorld, type DoubleWorld } from './double-world.ts'
import type { Fault } from './vault-double.ts'

/** Runs with a double in which a secret lies, and a session that may read it. */
export async function withSecret(
  work: (world: DoubleWorld, read: () => Promise<unknown>) => Promise<void>,
  changes: Partial<VaultSettings> = {},
): Promise<void> {
  const world = await startDoubleWorld()
  try {
    world.kv2.put('shop/a', { password: 'canary-5d1c77' })
    const api = world.api(changes)
    const session = await logIn(world, api)
    await work(world, () => api.read(session, { secret: 'kv2/shop/a' }, signal()))
  } finally {
    await world.close()
  }
}

/** Answers this in Vault's place. */
export const answer =
  (status: number, body: string | Buffer, headers: http.OutgoingHttpHeaders = {}): Fault =>
  (_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers })
    response.end(body)
    return true
  }

/** A body as Vault refuses with. */
export const errors = (...list: string[]): string => JSON.stringify({ errors: list })
