import type { ExecutionContext } from 'ava'
import type { PodLife } from '../../../src/host/sweep/pod-cgroups.ts'
import { Sweeper } from '../../../src/host/sweep/sweeper.ts'
import { Volumes } from '../../../src/host/volumes.ts'
import { createHostMetrics, type HostMetrics } from '../../../src/observability/host-metrics.ts'
import { createLogger } from '../../../src/observability/log.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { MemoryStore } from '../../support/memory-store.ts'
import { ScriptedDaemon, type ScriptedStream } from '../../support/scripted-daemon.ts'
import { KUBELET_ROOT, volumeRequest } from '../../support/volume-requests.ts'

export const GRACE_MS = 60_000
export const ROUND_MS = 10_000
/** After this long without a visit the daemon is asked. */
export const UNATTENDED_MS = 150_000

/** A pod of which no process was ever seen may be starting for so long. */
export const START_MS = 300_000

export const EMPTY: PodLife = { is: 'empty' }
export const ALIVE: PodLife = { is: 'alive', processes: 2 }
export const UNPROVEN: PodLife = { is: 'unknown', why: 'this host cannot see its own cgroup' }

type Verdict = 'POD_ALIVE' | 'POD_GONE' | 'POD_UNKNOWN'

/** Answers every question after the pod in the same way, once a test has said how. */
class AskedDaemon extends ScriptedDaemon {
  verdict: Verdict | undefined

  override mount(signal: AbortSignal): ScriptedStream {
    const stream = super.mount(signal)
    const send = stream.send.bind(stream)
    stream.send = (message) => {
      if (message.unattended != null && this.verdict !== undefined) {
        stream.say({ verdict: { pod: this.verdict } })
      }
      return send(message)
    }
    return stream
  }
}

/** One volume of one pod, its witnesses and its processes as a test wants them. */
export class SweepWorld {
  readonly store: MemoryStore
  readonly daemon = new AskedDaemon()
  readonly clock = new FakeClock()
  readonly metrics: HostMetrics = createHostMetrics({ version: 'test' })
  readonly lines: string[] = []
  readonly volumes: Volumes
  readonly sweeper: Sweeper
  isRecordGone = false
  life: PodLife = EMPTY
  /** What the first look shows: by then most pods run. */
  firstLife: PodLife = ALIVE
  #looks = 0
  /** Asked in place of `life`, where a test counts or changes what is asked. */
  lifeOf: () => PodLife | Promise<PodLife> = () =>
    this.#looks++ === 0 ? this.firstLife : this.life

  constructor(t: ExecutionContext, store = new MemoryStore()) {
    this.store = store
    const { clock, metrics } = this
    const log = createLogger({
      level: 'info',
      side: 'host',
      write: (line) => {
        this.lines.push(line)
      },
    })
    this.volumes = new Volumes({
      store,
      link: this.daemon,
      clock,
      log,
      metrics,
      maxPublishes: 512,
      maxVolumeBytes: 1024,
      lingerMs: 2_000,
      maxFileBytes: 2 ** 30,
    })
    this.sweeper = new Sweeper({
      volumes: this.volumes,
      kubeletRoot: KUBELET_ROOT,
      isRecordGone: () => Promise.resolve(this.isRecordGone),
      readPodCgroups: () => Promise.resolve({ lifeOf: async () => this.lifeOf() }),
      graceMs: GRACE_MS,
      clock,
      log,
      metrics,
    })
    t.teardown(async () => {
      const stopped = this.sweeper.stop()
      this.volumes.stop()
      await stopped
    })
  }

  /** A host whose volume is published and whose sweep goes on. */
  static async published(t: ExecutionContext, store?: MemoryStore): Promise<SweepWorld> {
    const on = new SweepWorld(t, store)
    await on.publish()
    on.sweeper.start()
    return on
  }

  /** Publishes the volume and plays the daemon up to the first commit. */
  async publish(): Promise<ScriptedStream> {
    const index = this.daemon.streams.length
    const publishing = this.volumes.publish(volumeRequest(), new AbortController().signal)
    const stream = await this.daemon.stream(index)
    stream.contents(1, { password: 'one' })
    await publishing
    return stream
  }

  async republish(): Promise<void> {
    await this.volumes.publish(volumeRequest(), new AbortController().signal)
  }

  /** The stream that the host opened last. */
  get stream(): ScriptedStream {
    const stream = this.daemon.streams.at(-1)
    if (stream === undefined) throw new Error('the host has opened no stream')
    return stream
  }

  get isMounted(): boolean {
    return this.store.isMounted(volumeRequest())
  }

  /** What the last round has to say of the volume. */
  get finding() {
    return this.sweeper.findings.get(volumeRequest().volumeId)
  }

  /** How often the daemon has been asked after the pod. */
  get questions(): number {
    return this.daemon.streams
      .flatMap((stream) => stream.heard)
      .filter((message) => message.unattended != null).length
  }

  /** Plays kubelet staying away until the daemon is asked, and its answer to this question and those to come. */
  async askedAndToldThat(pod: Verdict): Promise<void> {
    this.daemon.verdict = pod
    await this.clock.advance(UNATTENDED_MS + ROUND_MS)
  }

  /** Unasked, and to every question from now on. */
  say(pod: Verdict): void {
    this.daemon.verdict = pod
    this.stream.say({ verdict: { pod } })
  }

  async swept(witness: 'kubelet_record' | 'api_server'): Promise<number> {
    const page = await this.metrics.text()
    const series = `latchkey_host_swept_volumes_total{witness="${witness}"} `
    const line = page.split('\n').find((one) => one.startsWith(series))
    return Number(line?.slice(series.length))
  }
}
