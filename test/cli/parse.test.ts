import test from 'ava'
import type { Command } from '../../src/cli/commands.ts'
import { parseCommandLine } from '../../src/cli/parse.ts'

const config = { name: 'config', placeholder: 'FILE', summary: 'configuration' }
const level = { name: 'level', placeholder: 'WORD', summary: 'how much' }
const serve: Command = command('serve', [], [config, level])
const check: Command = command('check', ['FILE'], [])
const COMMANDS = [serve, check]

function command(name: string, operands: Command['operands'], flags: Command['flags']): Command {
  return { name, summary: `${name}s`, operands, flags, run: () => Promise.resolve(0) }
}

function parse(line: string): ReturnType<typeof parseCommandLine> {
  return parseCommandLine(line === '' ? [] : line.split(' '), COMMANDS)
}

for (const [line, flags] of [
  ['serve', []],
  ['serve --config a.yaml', [['config', 'a.yaml']]],
  ['serve --config=a.yaml', [['config', 'a.yaml']]],
  ['serve --config=--odd', [['config', '--odd']]],
  [
    'serve --level debug --config a.yaml',
    [
      ['level', 'debug'],
      ['config', 'a.yaml'],
    ],
  ],
] as const) {
  test(`"${line}" runs serve with its flags`, (t) => {
    t.deepEqual(parse(line), { kind: 'run', command: serve, flags: new Map(flags), operands: [] })
  })
}

for (const [line, file] of [
  ['check a.yaml', 'a.yaml'],
  ['check -- --odd', '--odd'],
] as const) {
  test(`"${line}" runs check with its operand`, (t) => {
    t.deepEqual(parse(line), { kind: 'run', command: check, flags: new Map(), operands: [file] })
  })
}

for (const [line, of] of [
  ['--help', undefined],
  ['-h', undefined],
  ['help', undefined],
  ['help check', check],
  ['check --help', check],
  ['check -h', check],
  ['serve --config a.yaml --help', serve],
] as const) {
  test(`"${line}" asks for help`, (t) => {
    t.deepEqual(parse(line), { kind: 'help', command: of })
  })
}

for (const line of ['--version', 'version']) {
  test(`"${line}" asks for the version`, (t) => {
    t.deepEqual(parse(line), { kind: 'version' })
  })
}

for (const [line, message, hint] of [
  ['', 'no command given', 'latchkey --help lists the commands'],
  ['sreve', 'unknown command "sreve"', 'did you mean "serve"?'],
  ['banana', 'unknown command "banana"', 'latchkey --help lists the commands'],
  ['help sreve', 'unknown command "sreve"', 'did you mean "serve"?'],
  ['--config a.yaml serve', 'unknown command "--config"', 'latchkey --help lists the commands'],
  ['serve --confg a.yaml', 'serve: unknown flag "--confg"', 'did you mean "--config"?'],
  ['serve -c a.yaml', 'serve: unknown flag "-c"', 'latchkey serve --help tells what it takes'],
  ['serve --config', 'serve: --config needs FILE', 'latchkey serve --help tells what it takes'],
  ['serve --config=', 'serve: --config needs FILE', 'latchkey serve --help tells what it takes'],
  [
    'serve --config --level debug',
    'serve: --config needs FILE',
    'latchkey serve --help tells what it takes',
  ],
  [
    'serve --config a --config b',
    'serve: --config is given twice',
    'latchkey serve --help tells what it takes',
  ],
  ['serve a.yaml', 'serve: what is "a.yaml"?', 'latchkey serve --help tells what it takes'],
  ['check', 'check: FILE is missing', 'latchkey check --help tells what it takes'],
  ['check a b', 'check: what is "b"?', 'latchkey check --help tells what it takes'],
  [
    'check --config a',
    'check: unknown flag "--config"',
    'latchkey check --help tells what it takes',
  ],
] as const) {
  test(`"${line}" is a mistake: ${message}`, (t) => {
    t.deepEqual(parse(line), { kind: 'mistake', message, hint })
  })
}

test('a strange word in a mistake stays on its line', (t) => {
  const request = parseCommandLine(['a\nb\u001b[31m'], COMMANDS)
  t.is(request.kind === 'mistake' ? request.message : '', 'unknown command "a\\nb\\u001b[31m"')
})
