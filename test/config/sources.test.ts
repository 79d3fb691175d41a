import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { checkConfig, loadConfig } from '../../src/config/load.ts'
import { parseConfig } from '../../src/config/parse.ts'

/** What is wrong with a text, as an editor would show it. */
function problemsOf(text: string): readonly string[] {
  const { problems } = parseConfig(text)
  return (problems ?? []).map(({ line, column, message }) => `${line}:${column}: ${message}`)
}

/** The file's one source, in flow style, with a word of it changed; `undefined` takes it out. */
function sourceWith(changes: Readonly<Record<string, string | undefined>>): string {
  const words: Readonly<Record<string, string | undefined>> = {
    kind: 'vault',
    name: 'vault-prod',
    address: 'https://vault:8200',
    auth: '{method: jwt}',
    ...changes,
  }
  const said = Object.entries(words).filter(([, value]) => value !== undefined)
  return `sources:\n  - {${said.map(([word, value]) => `${word}: ${value ?? ''}`).join(', ')}}\n`
}

function fileWith(t: ExecutionContext, text: string): string {
  const folder = mkdtempSync('/tmp/lk-')
  t.teardown(() => {
    rmSync(folder, { recursive: true })
  })
  const file = join(folder, 'latchkey.yaml')
  writeFileSync(file, text)
  return file
}

test('no file names no source', (t) => {
  t.deepEqual(loadConfig({}).sources, [])
})

test('a source has a default for every word that can have one', (t) => {
  const [source, ...more] = loadConfig({ file: fileWith(t, sourceWith({})) }).sources
  t.deepEqual(more, [])
  t.deepEqual(source, {
    kind: 'vault',
    name: 'vault-prod',
    address: 'https://vault:8200',
    caFile: undefined,
    serverName: undefined,
    namespace: undefined,
    auth: { method: 'jwt', mount: 'jwt', role: undefined, audience: 'vault' },
    limits: { concurrent: 16, perSecond: 50, timeoutMs: 10_000, maxBytes: 1_048_576 },
  })
})

test('an auth method is mounted at its own name where nobody says otherwise', (t) => {
  for (const method of ['kubernetes', 'jwt']) {
    const file = fileWith(t, sourceWith({ auth: `{method: ${method}}` }))
    t.is(loadConfig({ file }).sources[0]?.auth.mount, method)
  }
})

test('several Vaults stand side by side, in the order of the file', (t) => {
  const entry = (name: string): string =>
    `  - {kind: vault, name: ${name}, address: "https://${name}:8200", auth: {method: jwt}}\n`
  const { words } = parseConfig(`sources:\n${entry('b')}${entry('a')}`)
  t.deepEqual(
    words?.sources.map(({ name }) => name),
    ['b', 'a'],
  )
})

for (const [what, text] of [
  ['a list whose entries are all comments', 'sources:\n  # - kind: vault\n'],
  ['an empty list', 'sources: []\n'],
  ['limits whose lines are all comments', sourceWith({ limits: '' })],
] as const) {
  test(`${what} is no error`, (t) => {
    t.deepEqual(problemsOf(text), [])
  })
}

test('the CA file is not looked for by who only reads the configuration', (t) => {
  const file = fileWith(t, sourceWith({ caFile: '/nowhere/ca.pem' }))
  t.deepEqual(checkConfig(file), [])
  t.is(loadConfig({ file }).sources[0]?.caFile, '/nowhere/ca.pem')
})

for (const [text, problem] of [
  ['sources: 3\n', '1:10: sources: expected a list of sources, each a map that begins with "- "'],
  [
    'sources: {kind: vault}\n',
    '1:10: sources: expected a list of sources, each a map that begins with "- "',
  ],
  [
    'sources:\n  - vault-prod\n',
    '2:5: sources[0]: expected a map with any of kind, name, address, caFile, serverName, namespace, auth, limits',
  ],
  [sourceWith({ kind: undefined }), '2:5: sources[0].kind: missing; expected one of vault'],
  [sourceWith({ kind: 'valt' }), '2:12: sources[0].kind: expected one of vault'],
  [
    sourceWith({ auth: undefined }),
    '2:5: sources[0].auth.method: missing; expected one of kubernetes, jwt',
  ],
  [
    sourceWith({ auth: '{method: kubernetse}' }),
    '2:81: sources[0].auth.method: expected one of kubernetes, jwt',
  ],
  [
    sourceWith({ auth: '{method: jwt, rol: a}' }),
    '2:86: unknown word "rol" in sources[0].auth, did you mean "role"?',
  ],
  [
    sourceWith({ adress: 'x' }),
    '2:87: unknown word "adress" in sources[0], did you mean "address"?',
  ],
  [
    sourceWith({ limits: '{colour: red}' }),
    '2:96: unknown word "colour" in sources[0].limits, known are concurrent, perSecond, timeout, maxBytes',
  ],
  [
    sourceWith({ auth: '{method: jwt, audience: latchkey}' }),
    '2:96: sources[0].auth.audience: latchkey is the audience by which pods are proven to the daemon; a source needs another',
  ],
] as const) {
  test(`${JSON.stringify(text)} is refused where it goes wrong`, (t) => {
    t.deepEqual(problemsOf(text), [problem])
  })
}

test('two sources of one name are refused at the second', (t) => {
  const text = `${sourceWith({})}${sourceWith({ namespace: 'b' }).replace('sources:\n', '')}`
  t.deepEqual(problemsOf(text), ['3:25: sources[1].name: sources[0] is named vault-prod already'])
})

test('mistakes in the second of two sources name the second', (t) => {
  const text = `${sourceWith({})}${sourceWith({ name: 'b_c' }).replace('sources:\n', '')}`
  t.regex(problemsOf(text)[0] ?? '', /^3:25: sources\[1\]\.name: expected a name of /)
})

for (const [field, values] of Object.entries({
  name: ['kubernetes', 'Vault', 'a.b', 'a_b', '""', '7', 'a'.repeat(64)],
  address: [
    'vault:8200',
    '"http://vault:8200"',
    '"https://user@vault"',
    '"https://vault?a=b"',
    '"https://vault?"',
    '"https://vault#a"',
    '"https://"',
    '"unix:///run/vault.sock"',
    '""',
    '8200',
  ],
  caFile: ['ca.pem', '/', '7'],
  serverName: ['10.0.0.1', '"a b"', '""'],
  namespace: ['""', '"a b"', '"a\\r\\nb"'],
  'auth.mount': ['auth/jwt', '/jwt', 'jwt/', '"a b"', '""', 'a//b'],
  'auth.role': ['""', '"a b"', '7'],
  'auth.audience': ['""', '"a b"', '7'],
  'limits.concurrent': ['0', '257', '"16"'],
  'limits.perSecond': ['0', '0.5'],
  'limits.timeout': ['10', '0s', '31s'],
  'limits.maxBytes': ['1048576', '1KiB', '5MiB'],
})) {
  for (const value of values) {
    test(`${field} of a source: ${value} is refused, saying what is expected`, (t) => {
      const [word = '', inner] = field.split('.')
      const method = word === 'auth' ? 'method: jwt, ' : ''
      const text = sourceWith({
        [word]: inner === undefined ? value : `{${method}${inner}: ${value}}`,
      })
      const [problem, ...more] = problemsOf(text)
      t.true(problem?.includes(`: sources[0].${field}: expected `), problem)
      t.true(problem?.startsWith('2:'), problem)
      t.deepEqual(more, [])
    })
  }
}

for (const address of [
  'https://vault',
  'https://10.0.0.1:8200/',
  'https://[fd00::1]:8200/vault',
  'http://127.0.0.1:8200',
  'http://localhost:8200',
  'http://[::1]:8200',
]) {
  test(`a source may be at ${address}`, (t) => {
    t.deepEqual(problemsOf(sourceWith({ address: `"${address}"` })), [])
  })
}
