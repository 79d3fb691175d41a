import { spawnSync } from 'node:child_process'
import test from 'ava'
import { LatchkeyError } from '../../src/core/errors.ts'
import { SecretBytes } from '../../src/core/secret-bytes.ts'
import type { LogFields } from '../../src/observability/log-fields.ts'
import { createLogger, type Logger, type LogLevel } from '../../src/observability/log.ts'

const SECRET = 'hunter2'

function recorded(level: LogLevel = 'info'): { log: Logger; lines: string[] } {
  const lines: string[] = []
  const log = createLogger({ level, side: 'daemon', write: (line) => lines.push(line) })
  return { log, lines }
}

/** The one line that was written, its time apart. */
function only(lines: readonly string[]): Record<string, unknown> {
  const [line = '', ...more] = lines
  if (more.length > 0) throw new Error(`more than one line: ${lines.join('')}`)
  const { time, ...rest } = JSON.parse(line) as Record<string, unknown>
  if (typeof time !== 'string' || !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(time)) {
    throw new Error(`not a time: ${String(time)}`)
  }
  return rest
}

test('a line is JSON with time, level as a word, side, fields and message', (t) => {
  const { log, lines } = recorded()
  log.info({ volumeId: 'csi-1', generation: 2 }, 'contents committed')
  t.deepEqual(only(lines), {
    level: 'info',
    side: 'daemon',
    volumeId: 'csi-1',
    generation: 2,
    msg: 'contents committed',
  })
  t.true(lines[0]?.endsWith('}\n'))
})

test("a child's fields are on each of its lines", (t) => {
  const { log, lines } = recorded()
  log.child({ volumeId: 'csi-1' }).child({ pod: 'api-0' }).warn({ count: 1 }, 'said')
  const { volumeId, pod, count } = only(lines)
  t.deepEqual([volumeId, pod, count], ['csi-1', 'api-0', 1])
})

test('lines below the level are not written', (t) => {
  const { log, lines } = recorded('warn')
  log.debug({}, 'no')
  log.info({}, 'no')
  log.child({ pod: 'a' }).info({}, 'no')
  log.error({}, 'yes')
  t.is(only(lines)['msg'], 'yes')
})

test('an error of ours is told with its reason and its causes', (t) => {
  const { log, lines } = recorded()
  const refused = Object.assign(new Error(`connect ${SECRET}`), {
    code: 'ECONNREFUSED',
    syscall: 'connect',
  })
  const below = new LatchkeyError('KubeUnavailable', 'no connection', { cause: refused })
  const err = new LatchkeyError('SourceUnavailable', 'cannot fetch', { cause: below })
  log.warn({ err, reason: err.reason }, 'refresh failed')
  t.deepEqual(only(lines)['err'], {
    reason: 'SourceUnavailable',
    message: 'cannot fetch',
    causes: ['KubeUnavailable: no connection', 'Error connect ECONNREFUSED'],
  })
  t.false(lines.join('').includes(SECRET))
})

test('a stack is told for a bug, or at level debug, and never the text above it', (t) => {
  const error = (reason: 'Internal' | 'VolumeIo') =>
    new LatchkeyError(reason, 'failed', { cause: new TypeError(`cannot parse\n    at ${SECRET}`) })
  for (const [level, reason, withStack] of [
    ['info', 'VolumeIo', false],
    ['info', 'Internal', true],
    ['debug', 'VolumeIo', true],
  ] as const) {
    const { log, lines } = recorded(level)
    log.error({ err: error(reason) }, 'failed')
    const { causes } = only(lines)['err'] as { causes: readonly string[] }
    t.regex(causes[0] ?? '', withStack ? /^TypeError\n {4}at .*log\.test\.ts:/ : /^TypeError$/)
    t.false(lines.join('').includes(SECRET))
  }
})

test('a chain of causes that bites its tail is told once', (t) => {
  const { log, lines } = recorded()
  const a = new Error('a')
  a.cause = new Error('b', { cause: a })
  log.error({ err: new LatchkeyError('VolumeIo', 'failed', { cause: a }) }, 'failed')
  t.deepEqual((only(lines)['err'] as { causes: unknown }).causes, ['Error', 'Error'])
})

for (const [what, fields] of [
  ['an unknown field', { password: SECRET }],
  ['a buffer', { path: Buffer.from(SECRET) }],
  ['an object logged whole', { pod: { token: SECRET } }],
  ['a list', { volumeId: [SECRET] }],
  ['a secret in its own type', { reason: SecretBytes.copyOf(Buffer.from(SECRET)) }],
  ['a foreign error', { err: new Error(SECRET) }],
  ['something thrown that is no error', { err: SECRET }],
  [
    'a foreign error with a telling name',
    { err: Object.assign(new Error(), { name: `a ${SECRET}` }) },
  ],
  [
    'a foreign error with a telling code',
    { err: Object.assign(new Error(), { code: `= ${SECRET}` }) },
  ],
] as const) {
  test(`${what} that was cast into a line is not shown`, (t) => {
    const { log, lines } = recorded('debug')
    log.info(fields as unknown as LogFields, 'said')
    log.child(fields as unknown as LogFields).info({}, 'said')
    t.is(lines.length, 2)
    const written = lines.join('')
    t.false(written.includes(SECRET))
    t.false(written.includes(JSON.stringify([...Buffer.from(SECRET)]).slice(1, -1)))
  })
}

test('a field that goes on for ever is cut', (t) => {
  const { log, lines } = recorded()
  log.info({ path: 'x'.repeat(100_000) }, 'said')
  t.true((lines[0]?.length ?? 0) < 5_000)
})

test('no value can make a second line', (t) => {
  const { log, lines } = recorded()
  log.info({ path: 'a\n{"level":"error"}\r\n\u2028' }, 'said')
  t.is(lines.join('').split('\n').length, 2)
})

test('lines are on standard output before the next statement runs', (t) => {
  const url = new URL('../../src/observability/log.ts', import.meta.url).href
  const script = `
    import { createLogger } from ${JSON.stringify(url)}
    createLogger({ level: 'info', side: 'host' }).info({}, 'last words')
    process.kill(process.pid, 'SIGKILL')
  `
  const { stdout, signal } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
  })
  t.is(signal, 'SIGKILL')
  t.regex(stdout, /^\{"level":"info",.*"side":"host","msg":"last words"\}\n$/)
})
