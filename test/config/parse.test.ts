import test from 'ava'
import fc from 'fast-check'
import { parseConfig } from '../../src/config/parse.ts'

/** What is wrong with a text, as an editor would show it. */
function problemsOf(text: string): readonly string[] {
  const { problems } = parseConfig(text)
  return (problems ?? []).map(({ line, column, message }) => `${line}:${column}: ${message}`)
}

for (const [what, text] of [
  ['an empty file', ''],
  ['a file of blanks', ' \n\n'],
  ['a file of comments', '# nothing yet\n'],
  ['a lone null', 'null\n'],
  ['a document mark', '---\n'],
  ['a section whose lines are all comments', 'kubelet:\n  # root: /var/lib/kubelet\nlog:\n'],
  ['a byte order mark before valid words', '\uFEFFdriver: csi.example.org\n'],
] as const) {
  test(`${what} is a whole configuration`, (t) => {
    t.deepEqual(problemsOf(text), [])
  })
}

test('every word can be said, and is taken over', (t) => {
  const { words } = parseConfig(`
    driver: csi.example.org
    audience: example
    node: worker-1.example
    kubelet: { root: /data/kubelet }
    sockets: { mount: /run/example/mount.sock }
    volumes: { maxBytes: 1MiB, allowSwap: true, selinuxContext: "system_u:object_r:container_file_t:s0:c1,c2", oldGenerationLinger: 500ms, endedGrace: 90s }
    limits: { namespaceBytes: 8MiB, nodeBytes: 16MiB, tmpfsBytes: 32MiB, concurrentPublishes: 1, waitingPublishes: 0, lastValuesBytes: 0B, connections: 8 }
    refresh: { interval: 1h30m }
    events: { enabled: true, staleAfter: 10m }
    kubernetes: { kubeconfig: /etc/kubeconfig, timeout: 5s }
    http: { address: "::1", port: 0 }
    log: { level: debug }
    sources:
      - kind: vault
        name: vault-prod
        address: https://vault.example.org:8200/vault
        caFile: /etc/latchkey/ca.pem
        serverName: vault.internal
        namespace: teams/shop
        auth: { method: kubernetes, mount: clusters/one, role: shop, audience: vault-prod }
        limits: { concurrent: 4, perSecond: 10, timeout: 5s, maxBytes: 64KiB }
  `)
  t.deepEqual(words, {
    driver: 'csi.example.org',
    audience: 'example',
    node: 'worker-1.example',
    kubelet: { root: '/data/kubelet' },
    sockets: { mount: '/run/example/mount.sock' },
    volumes: {
      maxBytes: 1_048_576,
      allowSwap: true,
      selinuxContext: 'system_u:object_r:container_file_t:s0:c1,c2',
      oldGenerationLinger: 500,
      endedGrace: 90_000,
    },
    limits: {
      namespaceBytes: 8_388_608,
      nodeBytes: 16_777_216,
      tmpfsBytes: 33_554_432,
      concurrentPublishes: 1,
      waitingPublishes: 0,
      lastValuesBytes: 0,
      connections: 8,
    },
    refresh: { interval: 5_400_000 },
    events: { enabled: true, staleAfter: 600_000 },
    kubernetes: { kubeconfig: '/etc/kubeconfig', timeout: 5_000 },
    http: { address: '::1', port: 0 },
    log: { level: 'debug' },
    sources: [
      {
        kind: 'vault',
        name: 'vault-prod',
        address: 'https://vault.example.org:8200/vault',
        caFile: '/etc/latchkey/ca.pem',
        serverName: 'vault.internal',
        namespace: 'teams/shop',
        auth: {
          method: 'kubernetes',
          mount: 'clusters/one',
          role: 'shop',
          audience: 'vault-prod',
        },
        limits: { concurrent: 4, perSecond: 10, timeout: 5_000, maxBytes: 65_536 },
      },
    ],
  })
})

for (const [text, problem] of [
  ['kublet:\n  root: /x\n', '1:1: unknown word "kublet", did you mean "kubelet"?'],
  ['kubelet:\n  rot: /x\n', '2:3: unknown word "rot" in kubelet, did you mean "root"?'],
  ['log:\n  colour: red\n', '2:3: unknown word "colour" in log, known are level'],
  ['driver: a\nlog: {}\ndriver: b\n', '3:1: the word "driver" is there twice'],
  ['log:\n  level: info\n  level: warn\n', '3:3: the word "level" is there twice'],
  ['kubelet:\n\troot: /x\n', '2:1: not valid YAML: Tabs are not allowed as indentation'],
  ['driver: "csi\n', '2:1: not valid YAML: Missing closing "quote'],
  ['driver: a\n---\ndriver: b\n', '2:1: a second YAML document begins here; one is expected'],
  ['driver: !binary YQ==\n', '1:9: not valid YAML: Unresolved tag: !binary'],
  ['log: &l {level: info}\nhttp: *l\n', '2:7: aliases ("*name") are not taken'],
  ['? [a]\n: b\n', '1:3: expected a word before the colon'],
  ['1: b\n', '1:1: expected a word before the colon'],
  ['- driver: a\n', '1:1: expected a map of words, such as driver: csi.latchkey.dev'],
  ['kubelet: /var/lib/kubelet\n', '1:10: kubelet: expected a map with any of root'],
] as const) {
  test(`${JSON.stringify(text)} is refused where it goes wrong`, (t) => {
    t.deepEqual(problemsOf(text), [problem])
  })
}

for (const word of ['__proto__', 'constructor', 'toString', '<<']) {
  test(`the word ${word} is as unknown as any other`, (t) => {
    const [problem, ...more] = problemsOf(`log: {}\n${word}: {root: /x}\n`)
    t.true(problem?.startsWith(`2:1: unknown word "${word}", known are driver, `), problem)
    t.deepEqual(more, [])
  })
}

for (const [field, values] of Object.entries({
  driver: ['', 'Csi.dev', 'csi_dev', `${'a'.repeat(60)}.dev`, '7', '[]', 'null'],
  audience: ['""', '"a b"', '"a\\nb"', 'é', '{}'],
  node: ['Worker', '"worker 1"', '-worker', '17'],
  'kubelet.root': [
    'kubelet',
    '/',
    '/var/lib/kubelet/',
    '/var//lib',
    '/var/../lib',
    '"/a\\tb"',
    'null',
  ],
  'sockets.mount': ['mount.sock', `/${'x'.repeat(99)}`],
  'volumes.maxBytes': ['5MiB', '4194305B', '1KiB', '4194304', '4MB', '-1'],
  'volumes.allowSwap': ['yes', '"true"', '1'],
  'volumes.selinuxContext': ['container_file_t', '"a:b:c:d e"', '""'],
  'volumes.oldGenerationLinger': ['2', '61s', '-1s'],
  'volumes.endedGrace': ['60', '9s', '61m'],
  'limits.namespaceBytes': ['0B', '17GiB'],
  'limits.nodeBytes': ['65GiB', 'lots'],
  'limits.tmpfsBytes': ['129GiB', '1'],
  'limits.concurrentPublishes': ['0', '1.5', '"64"', '.inf', '1e99'],
  'limits.waitingPublishes': ['-1'],
  'limits.lastValuesBytes': ['8', '2GiB', '-1B'],
  'limits.connections': ['7'],
  'refresh.interval': ['60', '999ms', '25h', '5 minutes'],
  'kubernetes.kubeconfig': ['~/.kube/config', ''],
  'kubernetes.timeout': ['31s', '0s'],
  'http.address': ['localhost', '0.0.0', '9808'],
  'http.port': ['65536', '-1', '"9808"'],
  'log.level': ['Info', 'trace', 'silent'],
})) {
  for (const value of values) {
    test(`${field}: ${value} is refused, saying what is expected`, (t) => {
      const [section = '', word] = field.split('.')
      const [text, place] =
        word === undefined
          ? [`${section}: ${value}\n`, `1:${section.length + 3}`]
          : [`${section}:\n  ${word}: ${value}\n`, `2:${word.length + 5}`]
      const [problem, ...more] = problemsOf(text)
      t.true(problem?.includes(`: ${field}: expected `), problem)
      // A value that is not there has no column of its own.
      if (value !== '') t.true(problem?.startsWith(`${place}: `), problem)
      t.deepEqual(more, [])
    })
  }
}

test('a folder that makes socket paths too long is refused', (t) => {
  const [problem] = problemsOf(`kubelet:\n  root: /${'x'.repeat(60)}\n`)
  t.regex(
    problem ?? '',
    /^2:9: kubelet\.root: with this driver the path of the socket \/x+\/plugins_registry\/.* 99 bytes/,
  )
})

test('everything that is wrong is told at once, from top to bottom', (t) => {
  const text = 'log:\n  level: loud\nhttp:\n  prt: 1\n  port: 0x\nkublet: {}\n'
  t.deepEqual(
    problemsOf(text).map((problem) => problem.split(': ')[0]),
    ['2:10', '4:3', '5:9', '6:1'],
  )
})

test('one mistake in the syntax is one problem', (t) => {
  t.is(problemsOf('a: [\nb: {\nc: "\n').length, 1)
})

test('nesting of any depth is refused, not fallen over', (t) => {
  for (const depth of [10, 100, 500, 700, 800, 1_000, 5_000, 20_000]) {
    t.true(problemsOf('['.repeat(depth) + ']'.repeat(depth)).length > 0)
    t.true(problemsOf('{a: '.repeat(depth) + '}'.repeat(depth)).length > 0)
    t.true(problemsOf(`log:\n    ${'a:    '.repeat(depth)}`).length > 0)
  }
})

test('a bomb of aliases is refused without being blown up', (t) => {
  const lines = ['a0: &a0 [x, x, x, x, x, x, x, x]']
  for (let level = 1; level < 30; level += 1) {
    lines.push(`a${level}: &a${level} [${`*a${level - 1}, `.repeat(8)}]`)
  }
  t.true(problemsOf(lines.join('\n')).every((problem) => problem.includes('aliases')))
})

test('any text is either taken or refused with places that are in it', (t) => {
  const pieces = fc.constantFrom(
    'driver', 'kubelet', 'root', 'log', ': ', ':', '\n', '  ', '\t', '-', '[', ']', '{', '}', ',', '"',
    "'", '#', '&a', '*a', '!!str', '---', '...', '%YAML 1.1', '|', '>', '?', '1', 'true', 'null', '\u0000', '𝄞',
  ) // prettier-ignore
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 24 }), (parts) => {
      const text = parts.join('')
      const lines = text.split('\n')
      return (parseConfig(text).problems ?? []).every(
        ({ line, column, message }) =>
          line >= 1 && line <= lines.length && column >= 1 && !message.includes('\n'),
      )
    }),
    { numRuns: 500 },
  )
  t.pass()
})
