import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { tempDir } from '../support/temp-dir.ts'

/* .ci/audit with npm itself, in a folder whose lockfile names one package, and with a registry of our own. */
const PROJECT = join(import.meta.dirname, '../..')
const PACKAGE = 'thin-ice'
const QUESTION = '/-/npm/v1/security/advisories/bulk'

interface Registry {
  readonly url: string
  /** Method and path of what was asked. */
  readonly asked: readonly string[]
}

async function startRegistry(
  t: ExecutionContext,
  answer: (path: string, response: ServerResponse) => void,
): Promise<Registry> {
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push(`${request.method ?? ''} ${request.url ?? ''}`)
    request.resume().on('end', () => {
      answer(request.url ?? '', response)
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, asked }
}

/** What the gate says and how it ends, where the registry is at that address. */
async function runGate(
  t: ExecutionContext,
  url: string,
): Promise<{ readonly code: number; readonly said: string }> {
  const folder = tempDir(t)
  const root = { name: 'one', version: '1.0.0', dependencies: { [PACKAGE]: '1.0.0' } }
  const installed = {
    version: '1.0.0',
    resolved: `${url}${PACKAGE}/-/${PACKAGE}-1.0.0.tgz`,
    integrity: `sha512-${Buffer.alloc(64).toString('base64')}`,
  }
  const packages = { '': root, [`node_modules/${PACKAGE}`]: installed }
  const lock = { ...root, lockfileVersion: 3, requires: true, packages }
  writeFileSync(join(folder, 'package.json'), JSON.stringify(root))
  writeFileSync(join(folder, 'package-lock.json'), JSON.stringify(lock))
  const env = {
    // Node's own folder first: whichever npm there is runs with the Node of this test.
    PATH: `${dirname(process.execPath)}:${process.env['PATH'] ?? ''}`,
    HOME: folder,
    npm_config_registry: url,
    npm_config_cache: join(folder, 'cache'),
  }
  return new Promise((resolve) => {
    const options = { cwd: folder, env, timeout: 120_000 }
    const child = execFile(join(PROJECT, '.ci/audit'), options, (_error, stdout, stderr) => {
      resolve({ code: child.exitCode ?? -1, said: stdout + stderr })
    })
  })
}

function json(response: ServerResponse, body: object): void {
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify(body))
}

function knowing(severity: string): (path: string, response: ServerResponse) => void {
  const advisory = {
    id: 1,
    url: 'https://advisories.invalid/1',
    title: 'It breaks',
    severity,
    vulnerable_versions: '<1.0.1',
    cwe: [],
    cvss: { score: 0, vectorString: null },
  }
  const numbers = ['1.0.0', '1.0.1']
  const versions = Object.fromEntries(
    numbers.map((version) => [version, { name: PACKAGE, version }]),
  )
  return (path, response) => {
    if (path === QUESTION) json(response, { [PACKAGE]: [advisory] })
    else json(response, { name: PACKAGE, 'dist-tags': { latest: '1.0.1' }, versions })
  }
}

for (const severity of ['high', 'critical']) {
  test(`the gate fails for a weakness of grade ${severity}, and says of which package`, async (t) => {
    const registry = await startRegistry(t, knowing(severity))
    const { code, said } = await runGate(t, registry.url)
    t.true(registry.asked.includes(`POST ${QUESTION}`), registry.asked.join())
    t.is(code, 1)
    t.true(said.includes(`audit: ${severity}: thin-ice 1.0.0: It breaks`), said)
  })
}

test('a weakness of a lesser grade, or none, passes the gate', async (t) => {
  const none = (_path: string, response: ServerResponse): void => {
    json(response, {})
  }
  for (const answer of [knowing('moderate'), none]) {
    const registry = await startRegistry(t, answer)
    const { code, said } = await runGate(t, registry.url)
    t.is(said, 'audit: the registry knows of no weakness that is high or critical\n')
    t.is(code, 0)
    t.true(registry.asked.includes(`POST ${QUESTION}`))
  }
})

test('a registry that has no answer passes the gate, which tells that nothing is known', async (t) => {
  const absent = await startRegistry(t, (_path, response) => {
    response.writeHead(404).end('{}')
  })
  const words = await startRegistry(t, (_path, response) => {
    response.end('<html>auditReportVersion</html>')
  })
  for (const { url } of [absent, words]) {
    const { code, said } = await runGate(t, url)
    t.regex(said, /^audit: NOT DONE: the registry gave no answer/)
    t.is(code, 0)
  }
})

test('the gate is a lane of its own of what every change has to pass', (t) => {
  t.regex(readFileSync(join(PROJECT, '.ci/run'), 'utf8'), /^lane audit \.ci\/audit\nadd 0 0 \$\?$/m)
})
