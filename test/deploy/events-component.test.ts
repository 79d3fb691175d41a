import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { parse } from 'yaml'
import { loadConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/config.ts'
import { tempDir } from '../support/temp-dir.ts'

const DEPLOY = new URL('../../deploy/kustomize/', import.meta.url).pathname

function configOf(t: ExecutionContext, manifest: string): Config {
  const { data } = parse(readFileSync(join(DEPLOY, manifest), 'utf8')) as {
    data: Record<string, string>
  }
  const file = join(tempDir(t), 'config.yaml')
  writeFileSync(file, data['config.yaml'] ?? '')
  return loadConfig({ file })
}

test('the component events is the configuration of the base with events switched on', (t) => {
  const base = configOf(t, 'base/config.yaml')
  t.false(base.events.enabled)
  t.deepEqual(configOf(t, 'components/events/config.yaml'), {
    ...base,
    events: { ...base.events, enabled: true },
  })
})
