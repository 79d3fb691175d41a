import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import { readPodCgroups } from '../../../src/host/sweep/pod-cgroups.ts'
import { until } from '../../support/until.ts'

/*
 * The same on the kernel's own tree. What a test makes lies in a cgroup of its own and goes with it.
 */

const run = promisify(execFile)
const SYSTEM = '/sys/fs/cgroup'

interface Place {
  /** What the host side would be shown. */
  readonly root: string
  /** Where in it a test may make cgroups. */
  readonly hierarchy: string
}

/** By kind; a machine has the one, the other, or both side by side. */
const PLACES: Readonly<Record<string, Place>> = {
  v1: { root: SYSTEM, hierarchy: `${SYSTEM}/pids` },
  v2: { root: SYSTEM, hierarchy: SYSTEM },
  'v2 beside v1': { root: `${SYSTEM}/unified`, hierarchy: `${SYSTEM}/unified` },
}

/** Whether the kernel takes a folder there for a cgroup, and this process may make one. */
function mayMake({ hierarchy }: Place, file: string): boolean {
  const probe = `${hierarchy}/latchkey-probe-${process.pid}`
  if (!existsSync(`${hierarchy}/cgroup.procs`)) return false
  try {
    mkdirSync(probe)
    const files = readdirSync(probe)
    rmdirSync(probe)
    return files.includes(file)
  } catch {
    return false
  }
}

class Pods {
  readonly #top: string
  readonly #folders: string[] = []

  constructor(t: ExecutionContext, { hierarchy }: Place) {
    this.#top = join(hierarchy, `latchkey-test-${randomUUID()}`)
    this.#make(this.#top)
    this.#make(join(this.#top, 'kubepods'))
    t.teardown(async () => {
      for (const folder of this.#folders.toReversed()) {
        // The kernel lets go of a process' cgroup a moment after its end.
        await until(() => isRemoved(folder), { what: `the cgroup ${folder} to go` })
      }
    })
  }

  /** A process in a container of a new pod. */
  start(t: ExecutionContext): { readonly uid: string; readonly process: ChildProcess } {
    const uid = randomUUID()
    const pod = this.#make(join(this.#top, 'kubepods', `pod${uid}`))
    const container = this.#make(join(pod, 'container'))
    const child = spawn('sleep', ['600'])
    t.teardown(() => end(child))
    writeFileSync(join(container, 'cgroup.procs'), String(child.pid))
    return { uid, process: child }
  }

  #make(folder: string): string {
    mkdirSync(folder)
    this.#folders.push(folder)
    return folder
  }
}

function isRemoved(folder: string): boolean {
  try {
    rmdirSync(folder)
    return true
  } catch {
    return false
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  await ended
}

/** What a process in a pid namespace of its own makes of it, as a container is in one. */
async function askFromOwnNamespace(root: string, own: string, uid: string): Promise<unknown> {
  const module = join(import.meta.dirname, '../../../src/host/sweep/pod-cgroups.ts')
  const script = `
    import { readPodCgroups } from ${JSON.stringify(module)}
    const cgroups = await readPodCgroups(${JSON.stringify({ root, ownPodUid: own })})
    console.log(JSON.stringify(await cgroups.lifeOf(${JSON.stringify(uid)})))
  `
  const node = [process.execPath, '--input-type=module', '-e', script]
  const { stdout } = await run('unshare', ['--pid', '--fork', '--kill-child', ...node])
  return JSON.parse(stdout) as unknown
}

for (const [kind, place] of Object.entries(PLACES)) {
  const file = kind === 'v1' ? 'pids.current' : 'cgroup.events'
  const isThere = mayMake(place, file)
  const kernelTest = isThere ? test : test.skip
  const note = isThere ? '' : ` (skipped: this process may make no cgroup of ${kind} here)`

  kernelTest(
    `the kernel's ${kind}: a pod is alive until its last process ends${note}`,
    async (t) => {
      const pods = new Pods(t, place)
      const own = pods.start(t)
      const pod = pods.start(t)
      const lifeOf = async () =>
        (await readPodCgroups({ root: place.root, ownPodUid: own.uid })).lifeOf(pod.uid)
      t.deepEqual(await lifeOf(), { is: 'alive', processes: 1 })
      await end(pod.process)
      await until(async () => (await lifeOf()).is === 'empty', { what: 'the pod to be empty' })
      t.pass()
    },
  )

  kernelTest(
    `the kernel's ${kind}: from another pid namespace it is no less alive${note}`,
    async (t) => {
      const pods = new Pods(t, place)
      const own = pods.start(t)
      const pod = pods.start(t)
      const ask = () => askFromOwnNamespace(place.root, own.uid, pod.uid)
      t.like(await ask(), { is: 'alive' })
      await end(pod.process)
      await until(async () => ((await ask()) as { is: string }).is === 'empty', {
        what: 'the pod to be empty',
      })
    },
  )
}
