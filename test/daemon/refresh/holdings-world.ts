import { readBookmark } from '../../../src/daemon/refresh/bookmark.ts'
import { Holdings } from '../../../src/daemon/refresh/holdings.ts'
import type { Fetching } from '../../../src/daemon/sources/serve-last.ts'
import { createLogger } from '../../../src/observability/log.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { itemOf, textsOf } from '../sources/values.ts'
import { workloadOf } from '../sources/workloads.ts'
import { LeasingSource } from './leasing-source.ts'

export const LIFE_MS = 60_000
export const ITEMS = [itemOf({ from: 'vault', secret: 'database/creds/shop' })]
export const signal = new AbortController().signal

export class HoldingsWorld {
  readonly clock = new FakeClock()
  readonly source = new LeasingSource(this.clock)
  readonly shim = {}
  dues = 0
  readonly parts = {
    sources: new Map([['vault', this.source]]),
    clock: this.clock,
    log: createLogger({ level: 'silent', side: 'daemon' }),
    random: () => 0.5,
  }

  readonly fetching: Fetching = {
    fetch: (workload, _from, ask) => this.source.fetch(workload, ask),
  }

  open(bookmark?: Buffer, items = ITEMS): Holdings {
    const read = bookmark === undefined ? undefined : readBookmark(bookmark)
    const holdings = Holdings.open(workloadOf(), items, this.parts, read)
    if (holdings === undefined) throw new Error('nothing to hold')
    holdings.onDue = () => {
      this.dues += 1
    }
    return holdings.join()
  }

  async user(holdings: Holdings): Promise<string | undefined> {
    const through = holdings.through(this.fetching)
    const value = await through.fetch(workloadOf(), 'vault', 'database/creds/shop', signal)
    return textsOf(value)['user']
  }

  bookmark(holdings: Holdings, isAsking = false): Buffer {
    const written = holdings.bookmarkFor({}, isAsking)
    return Buffer.from(written?.use((bytes) => Buffer.from(bytes)) ?? [])
  }
}
