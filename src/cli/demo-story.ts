import { existsSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import type { StoredPod } from '../minicluster/pod-store.ts'
import { DemoFailure, type Narrator } from './demo-narrator.ts'
import { setStage, type DemoStage } from './demo-stage.ts'

const DRIVER = 'csi.latchkey.dev'
const NAMESPACE = 'shop'
const WAIT_MS = 15_000

/** Throws: DemoFailure, where something does not happen as told. */
export async function tellStory(narrator: Narrator, mayMount: boolean): Promise<void> {
  narrator.say(
    'Latchkey, on this machine: an API server and a kubelet in memory, the real host side',
  )
  narrator.say('and the real daemon, over real sockets.')
  const stage = await setStage(mayMount)
  try {
    await introduce(narrator, stage)
    const pod = await admitPod(narrator, stage)
    await changeSecret(narrator, stage, pod)
    await refuseThief(narrator, stage)
    await endPod(narrator, stage, pod)
    await showMetrics(narrator, stage)
  } finally {
    await stage.stop()
  }
  narrator.say()
  narrator.say('All of it happened as told. Next: docs/install.md')
}

async function introduce(narrator: Narrator, { cluster, store }: DemoStage): Promise<void> {
  narrator.say(
    store.kind === 'tmpfs'
      ? 'Volumes are real tmpfs mounts, in a mount namespace of this demo alone.'
      : 'This user may not mount here, so plain folders stand in for tmpfs; all else is real.',
  )
  narrator.step('kubelet finds the driver and registers it')
  await asTold(cluster.kubelet.untilRegistered(DRIVER, true, WAIT_MS))
  narrator.saw(`${cluster.kubeletRoot}/plugins_registry/${DRIVER}-reg.sock`)
}

async function admitPod(narrator: Narrator, { cluster }: DemoStage): Promise<StoredPod> {
  narrator.step('Pod shop/api-0 names Secret db, which its service account may read')
  const { objects, kubelet, api } = cluster
  const data = { username: Buffer.from('api'), password: Buffer.from('first-password') }
  objects.createSecret({ namespace: NAMESPACE, name: 'db', data })
  objects.createServiceAccount({ namespace: NAMESPACE, name: 'api' })
  const grant = { namespace: NAMESPACE, serviceAccount: 'api', secrets: ['db'] }
  objects.grant({ ...grant, verbs: ['get', 'watch'] })
  const pod = createPod(cluster, 'api-0', 'api')
  await asTold(kubelet.until(pod, 'Running', WAIT_MS))
  narrator.saw(`token reviewed by the API server: ${api.counts.tokenReview} TokenReview`)
  narrator.saw(`Secret read with the pod's own token: ${api.counts.secretRead} read`)
  narrator.saw(`files: ${kubelet.targetPath(pod, 'db')}`)
  const password = await kubelet.readFile(pod, 'db', 'password')
  narrator.saw(`the pod is Running and reads password, ${password.length} bytes`)
  if (password.toString() !== 'first-password') throw new DemoFailure('the pod read something else')
  return pod
}

async function changeSecret(
  narrator: Narrator,
  { cluster }: DemoStage,
  pod: StoredPod,
): Promise<void> {
  narrator.step('The Secret changes, and so does the file')
  const data = { username: Buffer.from('api'), password: Buffer.from('second-password') }
  await until('the daemon to watch the Secret', () => cluster.api.openWatches > 0)
  const startedMs = performance.now()
  cluster.objects.updateSecret({ namespace: NAMESPACE, name: 'db', data })
  await until('the pod to read the new password', async () => {
    const password = await cluster.kubelet.readFile(pod, 'db', 'password')
    return password.toString() === 'second-password'
  })
  const tookMs = Math.round(performance.now() - startedMs)
  narrator.saw(`the running pod reads the new password ${tookMs} ms later`)
}

async function refuseThief(narrator: Narrator, { cluster }: DemoStage): Promise<void> {
  narrator.step('Pod shop/thief names the same Secret, and its service account may not read it')
  cluster.objects.createServiceAccount({ namespace: NAMESPACE, name: 'thief' })
  const thief = createPod(cluster, 'thief', 'thief')
  await until('the thief to be refused', () => cluster.kubelet.events(thief).length > 0)
  const [event] = cluster.kubelet.events(thief)
  narrator.saw(event?.message ?? '')
  if (event?.message.includes('AccessDenied') !== true) {
    throw new DemoFailure('the thief was not refused with AccessDenied')
  }
  if (existsSync(cluster.kubelet.targetPath(thief, 'db'))) {
    throw new DemoFailure('something lies at the thief’s target')
  }
  cluster.objects.deletePod(thief)
  await asTold(cluster.kubelet.until(thief, 'Gone', WAIT_MS))
}

async function endPod(narrator: Narrator, stage: DemoStage, pod: StoredPod): Promise<void> {
  narrator.step('Pod shop/api-0 is deleted')
  const { cluster } = stage
  const target = cluster.kubelet.targetPath(pod, 'db')
  cluster.objects.deletePod(pod)
  await asTold(cluster.kubelet.until(pod, 'Gone', WAIT_MS))
  const isMounted = readFileSync('/proc/self/mountinfo', 'utf8').includes(target)
  if (isMounted || existsSync(target)) throw new DemoFailure(`something is left at ${target}`)
  narrator.saw('files zeroed, volume unmounted, folder gone')
}

async function showMetrics(narrator: Narrator, { daemon }: DemoStage): Promise<void> {
  narrator.step('What Prometheus would see of it')
  const shown = /^latchkey_(host_publishes_total|host_swaps_total|mounts_total|refreshes_total)/
  let lines: readonly string[] = []
  await until('the host side to have reported', async () => {
    const page = await fetch(`http://127.0.0.1:${daemon.httpPort}/metrics`)
    lines = (await page.text()).split('\n').filter((line) => shown.test(line))
    return lines.some((line) => line.startsWith('latchkey_host_swaps_total'))
  })
  for (const line of lines) narrator.saw(line)
}

function createPod({ objects, nodeName }: DemoStage['cluster'], name: string, account: string) {
  const csi = { driver: DRIVER, readOnly: true, volumeAttributes: { secret: 'db' } }
  return objects.createPod({
    namespace: NAMESPACE,
    name,
    serviceAccount: account,
    node: nodeName,
    volumes: [{ name: 'db', csi }],
  })
}

async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const giveUpAt = performance.now() + WAIT_MS
  while (!(await isSo())) {
    if (performance.now() > giveUpAt) throw new DemoFailure(`waited in vain for ${what}`)
    await delay(5)
  }
}

async function asTold(happening: Promise<void>): Promise<void> {
  try {
    await happening
  } catch (thrown) {
    throw new DemoFailure(thrown instanceof Error ? thrown.message : 'it ended otherwise')
  }
}
