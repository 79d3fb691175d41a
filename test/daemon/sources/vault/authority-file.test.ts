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
  const onTrouble = (why: LatchkeyError): void => void troubles.push(why)
  const authority = new AuthorityFile({ setting: 'sources[1].caFile', file, clock, onTrouble })
  put(next.certPem)
  t.is(authority.read(), old.certPem, 'it is not looked at for every call')
  await clock.advance(10_000)
  t.is(authority.read(), next.certPem)
  put(next.keyPem)
  await clock.advance(10_000)
  t.is(authority.read(), next.certPem)
  rmSync(file)
  await clock.advance(10_000)
  t.is(authority.read(), next.certPem)
  await clock.advance(10_000)
  t.is(authority.read(), next.certPem)
  t.is(troubles.length, 2, 'once for each change')
  for (const { message } of troubles) t.true(message.startsWith(`sources[1].caFile: ${file}: `))
  put(old.certPem)
  await clock.advance(10_000)
  t.is(authority.read(), old.certPem)
})

test('at the start the file has to be there', (t) => {
  const at = { setting: 'sources[0].caFile', file: '/nonexistent' }
  const why = t.throws(
    () => new AuthorityFile({ ...at, clock: new FakeClock(), onTrouble: () => undefined }),
  )
  t.regex(why.message, /^sources\[0\]\.caFile: \/nonexistent: no such file/)
})
