import test from 'ava'
import { CONTRACT } from './contract.ts'
import { furnishRealWorld, hasNamespaces, type RealVault, type RealWorld } from './real-world.ts'

/*
 * The same cases on a real server, so that the double cannot drift from it:
 *   VAULT_DISABLE_MLOCK=1 vault server -dev -dev-root-token-id=root -dev-listen-address=127.0.0.1:18200
 *   VAULT_ADDR=http://127.0.0.1:18200 VAULT_TOKEN=root npx ava test/daemon/sources/vault/real-vault.test.ts
 * With the postgresql-database-plugin in it, VAULT_POSTGRES_PORT adds a PostgreSQL that trusts loopback.
 */
const address = process.env['VAULT_ADDR']
const rootToken = process.env['VAULT_TOKEN'] ?? 'root'
const port = process.env['VAULT_POSTGRES_PORT']
const postgresPort = port === undefined ? undefined : Number(port)

if (address === undefined) {
  test.skip('on a real Vault: the whole contract (skipped: VAULT_ADDR names no dev server)', () =>
    undefined)
} else {
  const vault = { address, rootToken, postgresPort }
  const isDivided = await hasNamespaces(vault)
  tell('a real Vault', vault, isDivided)
  if (isDivided) tell('a namespace of a real Vault', { ...vault, namespace: 'team-a' }, true)
}

function tell(where: string, vault: RealVault, isDivided: boolean): void {
  let world: RealWorld | undefined
  test.serial.before(async () => {
    world = await furnishRealWorld(vault)
  })
  test.after.always(() => world?.close())
  for (const { title, needs, run } of CONTRACT) {
    const name = `on ${where}: ${title}`
    if (needs === 'a database' && postgresPort === undefined) {
      test.skip(`${name} (skipped: VAULT_POSTGRES_PORT names no PostgreSQL)`, () => undefined)
      continue
    }
    if (needs === 'namespaces' && !isDivided) {
      test.skip(`${name} (skipped: this server has none)`, () => undefined)
      continue
    }
    // One after the other: the case about the audit log looks for its own call among all.
    test.serial(name, async (t) => {
      if (world === undefined) throw new Error('not furnished')
      await run(t, world)
    })
  }
}
