import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import test from 'ava'

import { readDockerfile } from './image.ts'

test('the program is started as the image starts it, from where it was copied to', (t) => {
  const text = readFileSync(join(import.meta.dirname, '../../../Dockerfile'), 'utf8')
  const { command, env } = readDockerfile(text, '/tmp/image', '/tmp/node')
  t.is(command[0], '/tmp/node')
  t.is(command.at(-1), '/tmp/image/app/bin/latchkey.js')
  t.true(command.includes('--disable-sigusr1'))
  t.is(env['NODE_ENV'], 'production')
})

test('an image that starts something else is not guessed at', (t) => {
  const text = 'FROM scratch\nENTRYPOINT ["/bin/sh"]\n'
  t.throws(() => readDockerfile(text, '/tmp/image', 'node'), { message: /expected ENTRYPOINT/ })
})
