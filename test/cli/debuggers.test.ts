import test from 'ava'
import { refuseDebuggers, type StartedAs } from '../../src/cli/debuggers.ts'
import { LatchkeyError } from '../../src/core/errors.ts'

const PLAIN: StartedAs = { env: { PATH: '/bin' }, execArgv: [], inspectorUrl: undefined }

test('a process that was started plainly, or with what hides more, goes on', (t) => {
  t.notThrows(() => {
    refuseDebuggers(PLAIN)
    refuseDebuggers({ ...PLAIN, execArgv: ['--disable-sigusr1', '--max-old-space-size=256'] })
    refuseDebuggers({ ...PLAIN, env: { NODE_OPTIONS: '', NODE_ENV: 'production' } })
  })
})

for (const name of [
  'NODE_OPTIONS',
  'NODE_DEBUG',
  'NODE_DEBUG_NATIVE',
  'NODE_V8_COVERAGE',
  'NODE_TLS_REJECT_UNAUTHORIZED',
  'GRPC_TRACE',
  'GRPC_VERBOSITY',
  'GRPC_NODE_TRACE',
  'GRPC_NODE_VERBOSITY',
  'GRPC_NODE_DEBUG_SEND_ERROR_DETAILS',
]) {
  test(`the environment variable ${name} is refused by name, and its value not repeated`, (t) => {
    const error = t.throws(
      () => {
        refuseDebuggers({ ...PLAIN, env: { [name]: 'value-of-it' } })
      },
      { instanceOf: LatchkeyError },
    )
    t.is(error.reason, 'InvalidRequest')
    t.true(error.message.startsWith(`environment variable ${name}: has to be left out`))
    t.false(error.message.includes('value-of-it'))
  })
}

for (const flag of [
  '--inspect',
  '--inspect-brk=0.0.0.0:9229',
  '--inspect_brk',
  '--report-on-signal',
  '--report-uncaught-exception',
  '--heapsnapshot-signal=SIGUSR2',
  '--heapsnapshot-near-heap-limit=3',
  '--heap-prof',
  '--cpu-prof',
  '--prof',
  '--abort-on-uncaught-exception',
  '--tls-keylog=/tmp/keys',
  '--trace-tls',
  '--expose-internals',
]) {
  test(`Node's flag ${flag} is refused by name`, (t) => {
    const error = t.throws(
      () => {
        refuseDebuggers({ ...PLAIN, execArgv: ['--disable-sigusr1', flag] })
      },
      { instanceOf: LatchkeyError },
    )
    const [name = ''] = flag.split('=')
    t.true(error.message.startsWith(`Node's flag ${name}: has to be left out`), error.message)
  })
}

test('a debugger that is open already is refused', (t) => {
  t.throws(
    () => {
      refuseDebuggers({ ...PLAIN, inspectorUrl: 'ws://127.0.0.1:9229/x' })
    },
    { instanceOf: LatchkeyError, message: /^a debugger is open/ },
  )
})
