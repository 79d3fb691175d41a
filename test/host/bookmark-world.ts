import type { ExecutionContext } from 'ava'
import type { VolumeRequest } from '../../src/core/types.ts'
import { Volumes } from '../../src/host/volumes.ts'
import { createHostMetrics, type HostMetrics } from '../../src/observability/host-metrics.ts'
import { createLogger } from '../../src/observability/log.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { MemoryStore } from '../support/memory-store.ts'
import { ScriptedDaemon, type ScriptedStream } from '../support/scripted-daemon.ts'
import { volumeRequest } from '../support/volume-requests.ts'

/** A host side between a scripted kubelet and a scripted daemon, on a clock that stands still. */
export class BookmarkWorld {
  readonly store = new MemoryStore()
  readonly daemon = new ScriptedDaemon()
  readonly clock = new FakeClock()
  readonly metrics: HostMetrics = createHostMetrics({ version: 'test' })
  readonly lines: string[] = []
  readonly volumes: Volumes

  constructor(t: ExecutionContext) {
    const { store, clock, metrics } = this
    const write = (line: string): void => {
      this.lines.push(line)
    }
    this.volumes = new Volumes({
      ...{ store, clock, metrics, link: this.daemon },
      log: createLogger({ level: 'debug', side: 'host', write }),
      maxPublishes: 512,
      maxVolumeBytes: 1024,
      lingerMs: 2_000,
      maxFileBytes: 2 ** 30,
    })
    t.teardown(() => {
      this.volumes.stop()
    })
  }

  /** A first publish that waits, and the stream on which it does. */
  async begin(request: VolumeRequest = volumeRequest()) {
    const index = this.daemon.streams.length
    const publishing = this.volumes.publish(request, new AbortController().signal)
    publishing.catch(() => undefined)
    return { request, publishing, stream: await this.daemon.stream(index) }
  }

  /** A volume that is mounted, with a bookmark that the host has noted. */
  async published(bookmark: string, request?: VolumeRequest) {
    const { publishing, stream, ...rest } = await this.begin(request)
    stream.bookmark(bookmark)
    stream.contents(1, { password: 'one' })
    await publishing
    return { ...rest, stream }
  }

  /** The next stream that the host opens after this one broke. */
  async reopened(): Promise<ScriptedStream> {
    const index = this.daemon.streams.length
    await this.clock.advance(1_000)
    return this.daemon.stream(index)
  }

  farewells() {
    return figuresOf(this.metrics)
  }
}

/** Ended farewells by outcome, and those that wait. */
export async function figuresOf(metrics: HostMetrics) {
  const page = (await metrics.text()).split('\n')
  const figure = (series: string): number => {
    const line = page.find((one) => one.startsWith(`${series} `))
    return Number(line?.slice(series.length + 1))
  }
  const ended = (outcome: string): number =>
    figure(`latchkey_host_farewells_total{outcome="${outcome}"}`)
  return {
    waiting: figure('latchkey_host_waiting_farewells'),
    done: ended('done'),
    givenUp: ended('given_up'),
  }
}

export function openedWith(stream: ScriptedStream): string | undefined {
  return text(stream.heard[0]?.open?.bookmark)
}

/** What a farewell names; undefined: the stream begins with another word. */
export function farewellWith(stream: ScriptedStream): string | undefined {
  return text(stream.heard[0]?.farewell?.bookmark)
}

/** What the host has said on a stream, in its order. */
export function wordsOn(stream: ScriptedStream): string[] {
  return stream.heard.map((message) => Object.keys(message).join())
}

function text(bytes: Buffer | Uint8Array | string | undefined): string | undefined {
  return bytes === undefined ? undefined : Buffer.from(bytes).toString()
}
