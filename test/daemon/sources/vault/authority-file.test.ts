import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import type { LatchkeyError } from '../../../../src/core/errors.ts'
import { AuthorityFile } from '../../../../src/daemon/sources/vault/authority-file.ts'
import { createAuthority } from '../../../../src/minicluster/pki.ts'
import { FakeClock } from '../../../support/fake-clock.ts'

test('what takes the place of the file counts within seconds, and what is none changes nothing', async (t) => {
  const folder = mkdtempSync('/tmp/lk-')
  t.teardown(() => {
    rmSync(folder, { recursive: true })
  })
  const [old, next] = [await createAuthority('old'), await createAuthority('next')]
  const file = join(folder, 'ca.pem')
  const put = (text: string): void => {
    writeFileSync(`${file}.new`, text)
    renameSync(`${file}.new`, file)
  }
  put(old.certPem)
  const clock = new FakeClock()
  const troubles: LatchkeyError[] = []
  const authority = new AuthorityFile(file, clock, (why) => {
    troubles.push(why)
  })
  put(next.certPem)
  t.is(authority.read(), old.certPem, 'it is not looked at for every call')
  await clock.advance(10_000)
  t.is(authority.read(), next.certPem)
  put('no certificate')
  await clock.advance(10_000)
  t.is(authority.read(), next.certPem)
  rmSync(file)
  await clock.advance(10_000)
  t.is(authority.read(), next.certPem)
  await clock.advance(10_000)
  t.is(authority.read(), next.certPem)
  t.is(troubles.length, 2, 'once for each change')
  put(old.certPem)
  await clock.advance(10_000)
  t.is(authority.read(), old.certPem)
})

test('at the start the file has to be there', (t) => {
  const why = t.throws(() => new AuthorityFile('/nonexistent', new FakeClock(), () => undefined))
  t.regex(why.message, /caFile: \/nonexistent: no such file/)
})
