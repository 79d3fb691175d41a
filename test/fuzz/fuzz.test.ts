import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test from 'ava'
import { LatchkeyError } from '../../src/core/errors.ts'
import { fuzz, type Tally } from './fuzz.ts'
import { keep, readCorpus } from './corpus.ts'
import type { Finding } from './judge.ts'
import type { Lane } from './lane.ts'
import { parseOptions } from './options.ts'

const run = promisify(execFile)
const MAIN = join(import.meta.dirname, 'main.ts')

async function fuzzLane(feed: Lane['feed'], inputs = 300, check?: Lane['check']) {
  const found: Finding[] = []
  const lane: Lane = {
    name: 'one',
    weight: 1,
    seeds: [Buffer.from('{"a":1}')],
    words: [],
    feed,
    ...(check === undefined ? {} : { check }),
  }
  const tally: Tally = await fuzz([lane], {
    inputs,
    seed: 1,
    corpusFolder: '/nowhere',
    onFinding: (finding) => found.push(finding),
    onProgress: () => undefined,
  })
  return { found, tally }
}

test('no lane crashes or hands anything out over 12,000 inputs, and memory stays', async (t) => {
  t.timeout(180_000)
  const { stdout } = await run(process.execPath, [MAIN, '--inputs', '12000', '--seed', '1'])
  t.log(stdout)
  t.regex(stdout, /\ninputs=12000 crashes=0 grants=0 rss_growth_mib=1?\d\n$/)
})

test('the same seed makes the same inputs, another one others', async (t) => {
  const inputsOf = async (seed: number): Promise<string[]> => {
    const seen: string[] = []
    const feed: Lane['feed'] = (input) => {
      seen.push(input.toString('hex'))
      return 'refused'
    }
    const lane: Lane = { name: 'one', weight: 1, seeds: [Buffer.from('abc')], words: [], feed }
    const quiet = { onFinding: () => undefined, onProgress: () => undefined }
    await fuzz([lane], { inputs: 50, seed, corpusFolder: '/nowhere', ...quiet })
    return seen
  }
  const once = await inputsOf(7)
  t.deepEqual(await inputsOf(7), once)
  t.notDeepEqual(await inputsOf(8), once)
})

test('what is thrown counts, but for a refusal with a reason', async (t) => {
  const { tally } = await fuzzLane(() => {
    throw new LatchkeyError('InvalidRequest', 'no')
  })
  t.like(tally, { inputs: 300, crashes: 0, grants: 0 })
  const foreign = await fuzzLane(() => JSON.parse('{') as never, 10)
  t.is(foreign.tally.crashes, 10)
  const internal = await fuzzLane(() => {
    throw LatchkeyError.from(new TypeError('x is null'))
  }, 10)
  t.is(internal.tally.crashes, 10)
  t.regex(internal.found[0]?.why ?? '', /x is null/)
})

test('a good caller that is not served any more counts', async (t) => {
  const gone = (): Promise<void> => Promise.reject(new Error('gone'))
  const dead = await fuzzLane(() => 'refused', 10, gone)
  t.is(dead.tally.crashes, 1)
  t.regex(dead.found[0]?.why ?? '', /gone/)
})

test('a grant counts, and so does a prototype that gets something new', async (t) => {
  const granted = await fuzzLane((input) => (input.length > 20 ? { grant: 'long' } : 'accepted'))
  t.true(granted.tally.grants > 0)
  t.teardown(() => {
    delete (Object.prototype as { polluted?: boolean }).polluted
  })
  const polluting = await fuzzLane((input) => {
    if (input.includes('__proto__')) Object.assign(Object.prototype, { polluted: true })
    return 'refused'
  }, 1_000)
  t.regex(polluting.found[0]?.why ?? '', /prototype/)
})

test('what was found is kept, and fed first the next time', (t) => {
  const folder = mkdtempSync('/tmp/lk-')
  t.teardown(() => {
    rmSync(folder, { recursive: true })
  })
  keep(folder, 'one', Buffer.from('bad'))
  keep(folder, 'one', Buffer.from('bad'))
  t.is(readdirSync(join(folder, 'one')).length, 1)
  t.deepEqual(readCorpus(folder, 'one'), [Buffer.from('bad')])
  t.deepEqual(readCorpus(folder, 'two'), [])
})

test('arguments that make no sense are told in one line', (t) => {
  t.deepEqual(parseOptions(['--inputs', '5', '--seed', '9']), {
    inputs: 5,
    seed: 9,
    lane: undefined,
  })
  for (const argv of [['--inputs', '0'], ['--seed', '-1'], ['--inputs', 'x'], ['--nonsense']]) {
    const problem = parseOptions(argv)
    t.regex(typeof problem === 'string' ? problem : '', /; try npm run fuzz/)
  }
})
