import test from 'ava'
import { LatchkeyError } from '../../../src/core/errors.ts'
import { judgeSources, type ProbedSource } from '../../../src/daemon/diagnose/sources.ts'
import { FakeClock } from '../../support/fake-clock.ts'

const signal = new AbortController().signal
const ADDRESS = 'https://vault.example.org:8200'

function sourceThat(probe: ProbedSource['probe'], name = 'vault-prod'): ProbedSource {
  return { name, kind: 'vault', address: ADDRESS, probe }
}

const judge = async (...sources: readonly ProbedSource[]) =>
  judgeSources(sources, new FakeClock(), signal)

test('each source is named with its kind, its address and what was seen there', async (t) => {
  const clock = new FakeClock()
  const slow = sourceThat(async () => {
    await clock.advance(12)
    return { grade: 'GRADE_OK', detail: 'active, version 1.21.0', fix: '' }
  })
  t.deepEqual(await judgeSources([slow], clock, signal), [
    {
      check: 'source vault-prod answers',
      grade: 'GRADE_OK',
      detail: `vault at ${ADDRESS}: active, version 1.21.0, in 12 ms`,
      fix: '',
    },
  ])
})

test('where no source is configured there is nothing to say', async (t) => {
  t.deepEqual(await judge(), [])
})

test('a source that answers and does not serve has failed, with what to do about it', async (t) => {
  const [finding] = await judge(
    sourceThat(() =>
      Promise.resolve({ grade: 'GRADE_FAILED', detail: 'sealed', fix: 'unseal it' }),
    ),
  )
  t.like(finding, {
    grade: 'GRADE_FAILED',
    detail: `vault at ${ADDRESS}: sealed, in 0 ms`,
    fix: 'unseal it',
  })
})

test('a source that does not answer has failed, and keeps no other from being looked at', async (t) => {
  const findings = await judge(
    sourceThat(() => Promise.reject(new LatchkeyError('SourceUnavailable', 'no connection')), 'a'),
    sourceThat(() => Promise.resolve({ grade: 'GRADE_OK', detail: 'active', fix: '' }), 'b'),
  )
  t.like(findings[0], {
    check: 'source a answers',
    grade: 'GRADE_FAILED',
    detail: `vault at ${ADDRESS}: no connection`,
  })
  t.regex(findings[0]?.fix ?? '', /running pods keep their files/)
  t.like(findings[1], { check: 'source b answers', grade: 'GRADE_OK' })
})

test('sources are asked side by side, and a caller that has gone is not answered', async (t) => {
  const gone = new AbortController()
  const asked: string[] = []
  const sources = ['a', 'b'].map((name) =>
    sourceThat(() => {
      asked.push(name)
      gone.abort(new LatchkeyError('Timeout', 'the caller hung up'))
      return Promise.reject(new Error('cut off'))
    }, name),
  )
  await t.throwsAsync(judgeSources(sources, new FakeClock(), gone.signal), {
    message: 'the caller hung up',
  })
  t.deepEqual(asked, ['a', 'b'])
})
