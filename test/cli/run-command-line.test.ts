import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { COMMANDS, type Command } from '../../src/cli/commands.ts'
import { runCommandLine } from '../../src/cli/run-command-line.ts'
import { LatchkeyError } from '../../src/core/errors.ts'
import { tempDir } from '../support/temp-dir.ts'
import { RecordingTerminal } from './recording-terminal.ts'

const PROJECT = new URL('../../', import.meta.url)

async function run(
  argv: readonly string[],
  commands: readonly Command[] = COMMANDS,
): Promise<{ code: number; stdout: string; stderr: string }> {
  const terminal = new RecordingTerminal()
  const code = await runCommandLine(argv, commands, terminal)
  return { code, stdout: terminal.stdout, stderr: terminal.stderr }
}

function failing(thrown: unknown): readonly Command[] {
  const fail = (): Promise<number> => {
    throw thrown
  }
  return [{ name: 'fail', summary: 'fails', operands: [], flags: [], run: fail }]
}

test('the help names every command and goes to standard output', async (t) => {
  const { code, stdout, stderr } = await run(['--help'])
  t.is(code, 0)
  t.is(stderr, '')
  for (const { name, summary } of COMMANDS) {
    t.true(stdout.includes(`\n  ${name}`), name)
    t.true(stdout.includes(summary), name)
  }
  t.true(stdout.split('\n').every((line) => line.length <= 100))
})

test("a command's help names its flags and operands", async (t) => {
  const daemon = await run(['daemon', '--help'])
  t.is(daemon.code, 0)
  t.regex(daemon.stdout, /^usage: latchkey daemon \[--config FILE\]$/m)
  t.regex(daemon.stdout, /^ {2}--config FILE +configuration/m)
  t.regex((await run(['help', 'check'])).stdout, /^usage: latchkey check FILE$/m)
})

test('the version is that of package.json', async (t) => {
  const { version } = JSON.parse(readFileSync(new URL('package.json', PROJECT), 'utf8')) as {
    version: string
  }
  t.deepEqual(await run(['--version']), { code: 0, stdout: `latchkey ${version}\n`, stderr: '' })
})

test('a wrong command line is exit code 2, with the mistake and the way out', async (t) => {
  t.deepEqual(await run(['chekc', 'a.yaml']), {
    code: 2,
    stdout: '',
    stderr: 'latchkey: error: unknown command "chekc"\nlatchkey: hint: did you mean "check"?\n',
  })
})

test('check says ok of a file that is right', async (t) => {
  const file = join(tempDir(t), 'config.yaml')
  writeFileSync(file, 'log:\n  level: debug\n')
  t.deepEqual(await run(['check', file]), { code: 0, stdout: `${file}: ok\n`, stderr: '' })
})

test('check names every mistake of a file by line and column', async (t) => {
  const file = join(tempDir(t), 'config.yaml')
  writeFileSync(file, 'kublet:\n  root: /x\nlog:\n  level: loud\n')
  t.deepEqual(await run(['check', file]), {
    code: 1,
    stdout: '',
    stderr:
      `latchkey: error: ${file}:1:1: unknown word "kublet", did you mean "kubelet"?\n` +
      `latchkey: error: ${file}:4:10: log.level: expected one of error, warn, info, debug\n`,
  })
})

test('a side that is given a wrong file does not start, and says what is wrong', async (t) => {
  const file = join(tempDir(t), 'config.yaml')
  writeFileSync(file, 'http:\n  prt: 80\n')
  const { code, stderr } = await run(['daemon', '--config', file])
  t.is(code, 1)
  t.is(stderr, `latchkey: error: ${file}:2:3: unknown word "prt" in http, did you mean "port"?\n`)
})

test('an error of ours is told in full, further lines indented', async (t) => {
  const thrown = new LatchkeyError('AccessDenied', 'refused\nTo allow it:\nkubectl create role')
  t.deepEqual(await run(['fail'], failing(thrown)), {
    code: 1,
    stdout: '',
    stderr: 'latchkey: error: refused\n  To allow it:\n  kubectl create role\n',
  })
})

test('an unexpected error is told by kind and place, never by its text', async (t) => {
  const thrown = new TypeError('cannot parse "hunter2"', { cause: new Error('hunter2') })
  const { code, stderr } = await run(['fail'], failing(thrown))
  t.is(code, 1)
  t.regex(
    stderr,
    /^latchkey: error: unexpected\n {2}TypeError\n {6}at .*run-command-line\.test\.ts:/,
  )
  t.regex(stderr, /\nlatchkey: hint: this is a bug; please report it\n$/)
  t.false(stderr.includes('hunter2'))
})

test('the program itself answers with exit codes', (t) => {
  const main = new URL('src/main.ts', PROJECT).pathname
  const latchkey = (...argv: readonly string[]) =>
    spawnSync(process.execPath, [main, ...argv], { encoding: 'utf8' })
  const ok = latchkey('--version')
  t.deepEqual([ok.status, ok.stderr], [0, ''])
  t.regex(ok.stdout, /^latchkey \d+\.\d+\.\d+\n$/)
  t.is(latchkey('check', '/nowhere.yaml').status, 1)
  const usage = latchkey()
  t.deepEqual([usage.status, usage.stdout], [2, ''])
})

test('a crash of the program is told by kind and place, never by its text', (t) => {
  const main = new URL('src/main.ts', PROJECT).pathname
  const sabotage = 'process.stdout.write = () => { throw new TypeError("hunter2") }'
  const { status, stderr } = spawnSync(
    process.execPath,
    ['--import', `data:text/javascript,${sabotage}`, main, '--version'],
    { encoding: 'utf8' },
  )
  t.is(status, 1)
  t.regex(stderr, /^latchkey: error: unexpected\n {2}TypeError\n {6}at .*output\.ts:/)
  t.false(stderr.includes('hunter2'))
})
