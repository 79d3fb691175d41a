import test from 'ava'
import { findViolations, type Rules } from './rules.ts'
import { parseSource } from './source-tree.ts'

/** A house of three rooms, of which nothing is wrong. */
const HOUSE = {
  'src/core/errors.ts': `export class Wrong extends Error {}\n`,
  'src/wire/socket.ts': `import net from 'node:net'\nimport { Channel } from 'grpc'\nexport const a = [net, Channel]\n`,
  'src/host/volume.ts': `import { Wrong } from '../core/errors.ts'\nimport type { Channel } from 'grpc'\nexport const b = Wrong as unknown as Channel\n`,
  'src/main.ts': `process.exit((await import('./host/volume.ts')) ? 0 : 1)\n`,
}

const RULES: Rules = {
  layers: {
    'src/core/': [],
    'src/wire/': ['src/core/'],
    'src/host/': ['src/core/', 'src/wire/'],
    'src/main.ts': ['src/'],
  },
  packages: { grpc: { owners: ['src/wire/'], types: ['src/host/'] } },
  builtins: { 'node:http': ['src/wire/'] },
  closed: [
    { room: 'src/host/', builtins: ['node:http'], onlyPackages: ['grpc'] },
    { room: 'src/main.ts', files: ['src/host/'] },
  ],
  maxLines: 20,
  longFiles: {},
  exits: ['src/main.ts'],
  webClients: ['src/main.ts'],
  generated: ['src/wire/gen/'],
}

/** What is wrong with the house once these files are put into it. */
function wrongWith(
  files: Readonly<Record<string, string>>,
  rules: Partial<Rules> = {},
): readonly string[] {
  const tree = Object.entries({ ...HOUSE, ...files }).map(([path, text]) => parseSource(path, text))
  return findViolations(tree, { ...RULES, ...rules })
}

test('a house in order has nothing to tell', (t) => {
  t.deepEqual(wrongWith({}), [])
})

test('a member that is called fetch is none of the global', (t) => {
  const text = `export const a = { fetch() {} }\na.fetch()\nexport class B { fetch() {} }\n`
  t.deepEqual(wrongWith({ 'src/host/a.ts': text }), [])
})

for (const [what, files, violations] of [
  [
    'an import against the direction',
    { 'src/core/a.ts': `\nimport { b } from '../wire/socket.ts'\n` },
    ['src/core/a.ts:2: src/core/ may not import src/wire/socket.ts'],
  ],
  [
    'a type against the direction',
    { 'src/core/a.ts': `import type { b } from '../wire/socket.ts'\n` },
    ['src/core/a.ts:1: src/core/ may not import src/wire/socket.ts'],
  ],
  [
    'a type in brackets against the direction',
    { 'src/core/a.ts': `export type B = import('../wire/socket.ts').B\n` },
    ['src/core/a.ts:1: src/core/ may not import src/wire/socket.ts'],
  ],
  [
    'a re-export against the direction',
    {
      'src/core/a.ts': `export { b } from '../wire/socket.ts'\nexport * from '../host/volume.ts'\n`,
    },
    [
      'src/core/a.ts:1: src/core/ may not import src/wire/socket.ts',
      'src/core/a.ts:2: src/core/ may not import src/host/volume.ts',
    ],
  ],
  [
    'a dynamic import against the direction',
    { 'src/core/a.ts': `export const b = () => import('../wire/socket.ts')\n` },
    ['src/core/a.ts:1: src/core/ may not import src/wire/socket.ts'],
  ],
  [
    'a dynamic import of who knows what',
    { 'src/core/a.ts': `export const b = (name: string) => import(name)\n` },
    ['src/core/a.ts:1: computed import'],
  ],
  [
    'a file outside of every layer',
    { 'src/cellar/a.ts': `import '../core/errors.ts'\n` },
    ['src/cellar/a.ts:1: lies in no layer'],
  ],
  [
    'an import without its ending',
    { 'src/core/a.ts': `import './errors'\n` },
    ['src/core/a.ts:1: src/core/errors is imported without .ts'],
  ],
  [
    'a package away from its owner',
    { 'src/host/a.ts': `import { Server } from 'grpc'\nexport const a = Server\n` },
    ['src/host/a.ts:1: only src/wire/ may import grpc'],
  ],
  [
    'a type import that stays one at run time',
    { 'src/host/a.ts': `import { type Server } from 'grpc'\nexport type A = Server\n` },
    ['src/host/a.ts:1: only src/wire/ may import grpc'],
  ],
  [
    "a package's inner file away from its owner",
    { 'src/core/a.ts': `import type { X } from 'grpc/build/x.js'\nexport type A = X\n` },
    ['src/core/a.ts:1: only src/wire/ may import grpc'],
  ],
  [
    'a package that nobody owns',
    { 'src/wire/a.ts': `import '@scope/left-pad/index.js'\n` },
    ['src/wire/a.ts:1: the package @scope/left-pad has no owner'],
  ],
  [
    'a builtin under its old name',
    { 'src/core/a.ts': `import 'fs'\n` },
    ['src/core/a.ts:1: fs is imported without node:'],
  ],
  [
    'a builtin that is not for everybody',
    { 'src/core/a.ts': `import 'node:http'\n` },
    ['src/core/a.ts:1: only src/wire/ may import node:http'],
  ],
  [
    'what comes into a closed room by a detour',
    {
      'src/host/a.ts': `import '../wire/b.ts'\n`,
      'src/wire/b.ts': `import './c.ts'\n`,
      'src/wire/c.ts': `import 'node:http'\n`,
    },
    ['src/host/a.ts reaches node:http by way of src/wire/b.ts, src/wire/c.ts'],
  ],
  [
    'what comes into a closed room directly',
    { 'src/main.ts': `import './host/volume.ts'\n` },
    ['src/main.ts reaches src/host/volume.ts'],
  ],
  [
    'a default export',
    { 'src/core/a.ts': `export default function a() {}\n`, 'src/core/b.ts': `export default 1\n` },
    ['src/core/a.ts:1: default export', 'src/core/b.ts:1: default export'],
  ],
  [
    'a default export by a new name',
    { 'src/core/a.ts': `const a = 1\nexport { a as default }\n` },
    ['src/core/a.ts:2: default export'],
  ],
  [
    'state that outlives every call',
    { 'src/core/a.ts': `let count = 0\nexport const next = () => (count += 1)\n` },
    ['src/core/a.ts:1: module state'],
  ],
  [
    'a global that dials out',
    { 'src/host/a.ts': `export const a = () => fetch('http://x')\nnew WebSocket('ws://x')\n` },
    ['src/host/a.ts:1: web client', 'src/host/a.ts:2: web client'],
  ],
  [
    'a global that dials out, by another way or name',
    { 'src/host/a.ts': `export const a = globalThis.fetch\nexport const b = { fetch }\n` },
    ['src/host/a.ts:1: web client', 'src/host/a.ts:2: web client'],
  ],
  [
    'an exit in the middle of the house',
    { 'src/host/a.ts': `export function a() {\n  process.exit(1)\n}\n` },
    ['src/host/a.ts:2: process.exit'],
  ],
  [
    'a file that is too long',
    { 'src/core/a.ts': 'export {}\n'.repeat(21) },
    ['src/core/a.ts: 21 lines, 20 allowed'],
  ],
  [
    'names that say nothing',
    {
      'src/core/utils.ts': '',
      'src/core/index.ts': '',
      'src/host/volume-manager.ts': '',
      'src/host/common/a.ts': '',
      'src/core/camelCase.ts': '',
    },
    ['utils.ts', 'index.ts', 'volume-manager.ts', 'common', 'camelCase.ts'].map((name, index) => {
      const folder = ['src/core/', 'src/core/', 'src/host/', 'src/host/', 'src/core/'][index] ?? ''
      const path = name === 'common' ? `${folder}common/a.ts` : `${folder}${name}`
      return `${path}: the name ${name} says nothing or is not kebab-case`
    }),
  ],
] as const) {
  test(`${what} is found`, (t) => {
    t.deepEqual(wrongWith(files as Record<string, string>), violations)
  })
}

test('what is erased, or loaded later, does not come into a closed room', (t) => {
  t.deepEqual(
    wrongWith({
      'src/host/a.ts': `import type { A } from '../wire/b.ts'\nexport const b = () => import('../wire/b.ts')\nexport type B = A\n`,
      'src/wire/b.ts': `import 'node:http'\nexport type A = 1\n`,
    }),
    [],
  )
})

test('imports that go round in a circle are walked once', (t) => {
  t.deepEqual(
    wrongWith({
      'src/host/a.ts': `import './b.ts'\n`,
      'src/host/b.ts': `import './a.ts'\nimport '../wire/c.ts'\n`,
      'src/wire/c.ts': `import 'node:http'\n`,
    }),
    ['src/host/b.ts reaches node:http by way of src/wire/c.ts'],
  )
})

test('the longest place that fits a file is its layer', (t) => {
  const layers = { ...RULES.layers, 'src/host/attic/': ['src/core/'] }
  const attic = { 'src/host/attic/a.ts': `import '../volume.ts'\nimport '../../core/errors.ts'\n` }
  t.deepEqual(wrongWith(attic, { layers }), [
    'src/host/attic/a.ts:1: src/host/attic/ may not import src/host/volume.ts',
  ])
})

test('a long file may be, with a reason, for as long as it is long', (t) => {
  const long = { 'src/core/a.ts': 'export {}\n'.repeat(21) }
  const longFiles = { 'src/core/a.ts': 'a table' }
  t.deepEqual(wrongWith(long, { longFiles }), [])
  t.deepEqual(wrongWith({ 'src/core/a.ts': 'export {}\n' }, { longFiles }), [
    'the rules call src/core/a.ts long, and it is not',
  ])
})

test('a rule about a place that is gone is told', (t) => {
  const exits = ['src/main.ts', 'src/cellar/exit.ts']
  t.deepEqual(wrongWith({}, { exits }), [
    'the rules name src/cellar/exit.ts, and nothing lies there',
  ])
})

test('generated files keep the direction, whatever their names and sizes', (t) => {
  const path = 'src/wire/gen/CamelCase.ts'
  t.deepEqual(wrongWith({ [path]: 'export {}\n'.repeat(99) }), [])
  t.deepEqual(wrongWith({ [path]: `import '../../host/volume.ts'\n` }), [
    `${path}:1: src/wire/ may not import src/host/volume.ts`,
  ])
})
