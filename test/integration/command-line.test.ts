import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { COMMANDS } from '../../src/cli/commands.ts'
import { setStage, type DemoStage } from '../../src/cli/demo-stage.ts'
import { runCommandLine } from '../../src/cli/run-command-line.ts'
import type { VolumeView } from '../../src/cli/volume-view.ts'
import type { Config } from '../../src/config/config.ts'
import type { StoredPod } from '../../src/minicluster/pod-store.ts'
import { RecordingTerminal } from '../cli/recording-terminal.ts'
import { until } from '../support/until.ts'
import { vaultWith } from '../support/vault-config.ts'

const DB = { namespace: 'shop', name: 'db' }

/** Both sides on a node in memory, a pod whose files are there, and the commands as one runs them beside. */
class World {
  readonly stage: DemoStage
  readonly #config: string

  private constructor(stage: DemoStage) {
    this.stage = stage
    this.#config = join(stage.folder, 'config.yaml')
    writeFileSync(this.#config, `sockets:\n  mount: ${join(stage.folder, 'mount/mount.sock')}\n`)
  }

  static async start(t: ExecutionContext, changes: Partial<Config> = {}): Promise<World> {
    const stage = await setStage(false, changes)
    t.teardown(() => stage.stop())
    return new World(stage)
  }

  /** A running pod that reads Secret db. */
  async runPod(): Promise<StoredPod> {
    const { objects, kubelet, nodeName } = this.stage.cluster
    objects.createSecret({ ...DB, data: { password: Buffer.from('one') } })
    objects.createServiceAccount({ namespace: 'shop', name: 'api' })
    objects.grant({
      namespace: 'shop',
      serviceAccount: 'api',
      secrets: ['db'],
      verbs: ['get', 'watch'],
    })
    const csi = { driver: 'csi.latchkey.dev', readOnly: true, volumeAttributes: { secret: 'db' } }
    const pod = objects.createPod({
      namespace: 'shop',
      name: 'api-0',
      serviceAccount: 'api',
      node: nodeName,
      volumes: [{ name: 'db', csi }],
    })
    await kubelet.until(pod, 'Running')
    return pod
  }

  async latchkey(...argv: readonly string[]): Promise<{ code: number; stdout: string }> {
    const terminal = new RecordingTerminal()
    const code = await runCommandLine([...argv, '--config', this.#config], COMMANDS, terminal)
    return { code, stdout: terminal.stdout + terminal.stderr }
  }

  async volumes(): Promise<readonly VolumeView[]> {
    const { stdout } = await this.latchkey('list', '--output', 'json')
    return (JSON.parse(stdout) as { volumes: VolumeView[] }).volumes
  }
}

test('list shows a pod’s volume from fresh to stale, and nothing once the pod is gone', async (t) => {
  const world = await World.start(t)
  t.is((await world.latchkey('list')).stdout, 'No volumes on this node.\n')
  const pod = await world.runPod()
  const { objects, kubelet } = world.stage.cluster
  await until(async () => (await world.volumes())[0]?.watched === true, {
    what: 'a watched volume',
  })
  const [volume] = await world.volumes()
  t.like(volume, {
    namespace: 'shop',
    pod: 'api-0',
    uid: pod.uid,
    serviceAccount: 'api',
    volume: 'db',
    targetPath: kubelet.targetPath(pod, 'db'),
    state: 'fresh',
    generation: 1,
    reason: null,
  })
  const table = await world.latchkey('list')
  t.regex(table.stdout, /^shop\/api-0 +db +1 +\d+s +\d+s ago +watched +fresh\n$/m)
  objects.deleteSecret(DB)
  await until(async () => (await world.volumes())[0]?.state === 'stale', { what: 'a stale volume' })
  const [stale] = await world.volumes()
  t.like(stale, { reason: 'SecretNotFound', generation: 1 })
  objects.deletePod(pod)
  await kubelet.until(pod, 'Gone')
  await until(async () => (await world.volumes()).length === 0, { what: 'no volume' })
})

test('refresh says what became of each volume of a pod', async (t) => {
  const world = await World.start(t)
  await world.runPod()
  const { objects } = world.stage.cluster
  const [volume] = await world.volumes()
  const id = volume?.volumeId ?? ''
  t.deepEqual(await world.latchkey('refresh', id), {
    code: 0,
    stdout: `shop/api-0 ${id}: unchanged\n`,
  })
  t.is((await world.latchkey('refresh', '--source', 'kubernetes')).code, 0)
  objects.deleteSecret(DB)
  const failed = await world.latchkey('refresh', '--pod', 'shop/api-0')
  t.is(failed.code, 1)
  t.regex(failed.stdout, /^shop\/api-0 csi-\S+: failed: SecretNotFound: /)
  const nobody = await world.latchkey('refresh', '--pod', 'shop/nobody')
  t.is(nobody.code, 1)
  t.regex(nobody.stdout, /^latchkey: error: /)
})

test('doctor has the daemon look at itself, at the API server and at the host side', async (t) => {
  const world = await World.start(t)
  await world.runPod()
  const checks = async (): Promise<ReadonlyMap<string, Check>> => {
    const { stdout } = await world.latchkey('doctor', '--output', 'json')
    const { checks } = JSON.parse(stdout) as { checks: (Check & { check: string })[] }
    return new Map(checks.map((check) => [check.check, check]))
  }
  await until(async () => (await checks()).get('host side reports')?.grade === 'ok', {
    what: 'a report of the host side',
  })
  const found = await checks()
  for (const check of [
    'daemon answers',
    'daemon is of the same version as this program',
    'API server answers',
    'clocks agree',
    'daemon may review tokens',
    'both sides are of one version',
    'kubelet has registered the driver',
    'volumes are fresh',
    'mounts are granted',
  ]) {
    t.is(found.get(check)?.grade, 'ok', `${check}: ${found.get(check)?.detail ?? 'not there'}`)
  }
  t.is(found.get('pods bring the tokens that are needed')?.detail, 'for "", "latchkey"')
  await world.stage.cluster.api.down()
  const away = await checks()
  t.is(away.get('API server answers')?.grade, 'failed')
  t.is(away.get('daemon may review tokens')?.grade, 'skipped')
  await world.stage.cluster.api.up()
})

test('doctor names the sources, whether they are reached, and the audience that the CSIDriver lacks', async (t) => {
  const world = await World.start(t, { sources: [vaultWith()] })
  await world.runPod()
  const { code, stdout } = await world.latchkey('doctor')
  t.is(code, 1)
  const lines = stdout.split('\n').map((line) => line.trim())
  const source =
    'failed   source vault-prod answers: vault at https://127.0.0.1:1: no connection to Vault "vault-prod" (ECONNREFUSED)'
  t.true(lines.includes(source), stdout)
  const tokens = lines.find((line) => line.includes('pods bring the tokens')) ?? ''
  t.regex(tokens, /^failed .*; none for source vault-prod$/)
  t.regex(
    lines[lines.indexOf(tokens) + 1] ?? '',
    /^fix: add to spec\.tokenRequests of CSIDriver csi\.latchkey\.dev: - audience: "vault"$/,
  )
})

test('a pod is told by events that its files are stale, and that they are fresh again', async (t) => {
  const world = await World.start(t, { events: { enabled: true, staleAfterMs: 50 } })
  const { objects } = world.stage.cluster
  const told = (): readonly string[] =>
    objects
      .events(pod)
      .filter(({ reason }) => reason === 'SecretNotFound' || reason === 'VolumeFresh')
      .map(({ type, reason, message }) => `${type} ${reason} ${message.split(' for ')[0] ?? ''}`)
  objects.letDaemonCreateEvents()
  const pod = await world.runPod()
  await until(async () => (await world.volumes())[0]?.watched === true, {
    what: 'a watched volume',
  })
  objects.deleteSecret(DB)
  await until(() => told().length === 1, { what: 'an event about stale files' })
  objects.createSecret({ ...DB, data: { password: Buffer.from('two') } })
  await until(() => told().length === 2, { what: 'an event about fresh files' })
  t.deepEqual(told(), [
    'Warning SecretNotFound volume "db" has been stale',
    'Normal VolumeFresh volume "db" is fresh again; it had been stale',
  ])
})

interface Check {
  readonly grade: string
  readonly detail: string
}
