import test from 'ava'
import { LatchkeyError } from '../../../src/core/errors.ts'
import { mount } from '../../../src/daemon/mount/mount.ts'
import { ScriptedShim } from '../../support/shim.ts'
import { until } from '../../support/until.ts'
import { World, openMessage } from './mount-world.ts'

test('streams that say nothing are ended after a minute, and others are served meanwhile', async (t) => {
  const on = new World()
  const ends: string[] = []
  const open = (shim: ScriptedShim): void => {
    mount(shim, on.stages).catch((thrown: unknown) => {
      ends.push(LatchkeyError.from(thrown).reason)
    })
  }
  const silent = Array.from({ length: 500 }, () => new ScriptedShim())
  for (const shim of silent) open(shim)
  const talking = new ScriptedShim()
  open(talking)
  talking.say(openMessage())
  await talking.generation(1)
  talking.commit(1)
  await until(() => on.subscribers.size === 1, { what: 'the volume to be served' })
  await on.clock.advance(59_999)
  t.deepEqual(ends, [])
  await on.clock.advance(1)
  t.deepEqual(
    ends,
    silent.map(() => 'Timeout'),
  )
  t.is(on.sessions.count().live, 1)
  for (const shim of [...silent, talking]) shim.hangUp()
})
