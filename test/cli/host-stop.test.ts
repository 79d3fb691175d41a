import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import test from 'ava'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

test('SIGTERM ends the host side in order, also where there is neither a kubelet nor a daemon', async (t) => {
  t.timeout(60_000)
  const folder = mkdtempSync('/tmp/lk-')
  for (const name of ['plugins', 'plugins_registry', 'pods']) {
    mkdirSync(`${folder}/k/${name}`, { recursive: true })
  }
  const config = { kubelet: { root: `${folder}/k` }, sockets: { mount: `${folder}/m/mount.sock` } }
  writeFileSync(`${folder}/c.yaml`, JSON.stringify(config))
  const args = [MAIN, 'host', '--config', `${folder}/c.yaml`]
  const child = spawn(process.execPath, args, {
    env: { ...process.env, NODE_NAME: 'node-1' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => {
    child.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  })
  const lines: string[] = []
  const exited = once(child, 'exit')
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line)
    if (line.includes('"host side started"')) child.kill('SIGTERM')
  }
  t.deepEqual(await exited, [0, null])
  const starts = lines.filter((line) => line.includes('"host side started"'))
  t.is(starts.length, 1, lines.join('\n'))
})
