import { join } from 'node:path'
import { nodeStory } from './support.ts'

const PROJECT = join(import.meta.dirname, '../../..')
/** From the project's folder: whoever enters the node's namespaces stands at their root. */
const THERE = ['bash', '-c', 'cd "$0" && exec "$@"', PROJECT]
const AVA = [process.execPath, join(PROJECT, 'node_modules/.bin/ava')]

nodeStory('the API server in memory answers as this one does, case by case', async (t, node) => {
  const { stdout } = await node.run([...THERE, ...AVA, '--config', 'ava.e2e.config.js'], {
    env: { LATCHKEY_E2E_CONTRACT: '1' },
    timeoutMs: 240_000,
  })
  t.regex(stdout.toString(), /\d+ tests passed/)
})
