import test from 'ava'
import { LatchkeyProcess } from '../support/latchkey-process.ts'

for (const command of ['host', 'daemon', 'run']) {
  test(`${command} does not start with NODE_OPTIONS set, and names it`, async (t) => {
    const env = { NODE_OPTIONS: '--max-old-space-size=256' }
    const started = new LatchkeyProcess({ args: [command], env })
    t.teardown(() => started.stop())
    t.is(await started.ended(), 1)
    t.regex(started.output.stderr, /^latchkey: error: environment variable NODE_OPTIONS: has to be/)
    t.is(started.output.stdout, '')
  })
}

test('a side that is started with a debugger does not go on', async (t) => {
  const execArgv = ['--inspect=127.0.0.1:0']
  const started = new LatchkeyProcess({ args: ['daemon'], execArgv })
  t.teardown(() => started.stop())
  t.is(await started.ended(), 1)
  t.regex(started.output.stderr, /latchkey: error: Node's flag --inspect: has to be left out/)
})

test('a command that holds no secrets may be looked into', async (t) => {
  const env = { NODE_OPTIONS: '--max-old-space-size=256' }
  const started = new LatchkeyProcess({ args: ['--version'], env })
  t.teardown(() => started.stop())
  t.is(await started.ended(), 0)
})
