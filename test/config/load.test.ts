import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { checkConfig, loadConfig, nodeNameOf } from '../../src/config/load.ts'
import { LatchkeyError } from '../../src/core/errors.ts'
import { tempDir } from '../support/temp-dir.ts'
import { MAX_VOLUME_BYTES } from '../../src/core/limits.ts'

function fileOf(t: ExecutionContext, content: string | Buffer): string {
  const file = join(tempDir(t), 'config.yaml')
  writeFileSync(file, content)
  return file
}

function refused(t: ExecutionContext, load: () => unknown): string {
  const error = t.throws(load, { instanceOf: LatchkeyError })
  t.is(error.reason, 'InvalidRequest')
  return error.message
}

test('without a file every word has its default', (t) => {
  t.deepEqual(loadConfig({}), {
    driver: 'csi.latchkey.dev',
    audience: 'latchkey',
    node: undefined,
    kubelet: { root: '/var/lib/kubelet' },
    sockets: { mount: '/run/latchkey/mount/mount.sock' },
    volumes: {
      maxBytes: MAX_VOLUME_BYTES,
      allowSwap: false,
      selinuxContext: undefined,
      oldGenerationLingerMs: 2_000,
      endedGraceMs: 60_000,
    },
    limits: {
      namespaceBytes: 33_554_432,
      nodeBytes: 67_108_864,
      concurrentPublishes: 64,
      waitingPublishes: 512,
      lastValuesBytes: 8_388_608,
      connections: 1_024,
    },
    refresh: { intervalMs: 60_000 },
    events: { enabled: false, staleAfterMs: 120_000 },
    kubernetes: { kubeconfig: undefined, timeoutMs: 10_000 },
    http: { address: '0.0.0.0', port: 9808 },
    log: { level: 'info' },
    sources: [],
  })
})

test('an empty file says what no file says', (t) => {
  t.deepEqual(loadConfig({ file: fileOf(t, '') }), loadConfig({}))
})

test('nothing in it can be changed afterwards', (t) => {
  const config = loadConfig({})
  t.true(Object.isFrozen(config))
  t.throws(() => Object.assign(config.limits, { nodeBytes: 1 }), { instanceOf: TypeError })
})

test("the environment's NODE_NAME wins over the file's node", (t) => {
  const file = fileOf(t, 'node: from-file\n')
  t.is(nodeNameOf(loadConfig({ file })), 'from-file')
  t.is(nodeNameOf(loadConfig({ file, environment: { NODE_NAME: 'worker-1' } })), 'worker-1')
  t.is(nodeNameOf(loadConfig({ file, environment: { NODE_NAME: '' } })), 'from-file')
})

test('a node without a name is refused where one is needed', (t) => {
  t.regex(
    refused(t, () => nodeNameOf(loadConfig({}))),
    /^node: missing; set NODE_NAME/,
  )
})

test('a NODE_NAME that is none is refused by its name', (t) => {
  const load = (): unknown => loadConfig({ environment: { NODE_NAME: 'Worker 1' } })
  t.regex(refused(t, load), /^environment variable NODE_NAME: expected/)
})

test('a mistake is named with file, line and column', (t) => {
  const file = fileOf(t, '# ours\nkublet:\n  root: /x\n')
  const problem = `${file}:2:1: unknown word "kublet", did you mean "kubelet"?`
  t.is(
    refused(t, () => loadConfig({ file })),
    problem,
  )
  t.deepEqual(checkConfig(file), [problem])
})

test('the first of several mistakes is named, with how many there are more', (t) => {
  const file = fileOf(t, 'log: {level: loud}\nhttp: {port: x}\nfoo: 1\n')
  t.regex(
    refused(t, () => loadConfig({ file })),
    /:1:14: log\.level: .* \(and 2 more: latchkey check/,
  )
  t.is(checkConfig(file).length, 3)
})

test('a file that is right has no problems', (t) => {
  t.deepEqual(checkConfig(fileOf(t, 'log: {level: warn}\n')), [])
})

test('a file that cannot be read is named', (t) => {
  const folder = tempDir(t)
  const missing = join(folder, 'missing.yaml')
  t.is(
    refused(t, () => loadConfig({ file: missing })),
    `${missing}: no such file`,
  )
  mkdirSync(join(folder, 'folder'))
  t.regex(
    refused(t, () => loadConfig({ file: join(folder, 'folder') })),
    /cannot be read \(EISDIR\)$/,
  )
})

test('a file that is no text is refused', (t) => {
  const file = fileOf(t, Buffer.from([0x64, 0xff, 0xfe]))
  t.deepEqual(checkConfig(file), [`${file}: not UTF-8 text`])
})

test('a file beyond all measure is refused before it is parsed', (t) => {
  const file = fileOf(t, `# ${'x'.repeat(300_000)}\n`)
  t.deepEqual(checkConfig(file), [`${file}: larger than 262144 bytes`])
  t.deepEqual(checkConfig('/dev/zero'), ['/dev/zero: larger than 262144 bytes'])
})
