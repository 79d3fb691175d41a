import type { ExecutionContext } from 'ava'
import type { Stages } from '../../../src/daemon/mount/stages.ts'
import { collect } from '../../../src/daemon/sources/collect.ts'
import type { Fetching } from '../../../src/daemon/sources/serve-last.ts'
import { VAULT_GRAMMAR } from '../../../src/daemon/sources/vault/grammar.ts'
import type { ShimMessage__Output } from '../../../src/wire/gen/latchkey/mount/v1/ShimMessage.ts'
import { ScriptedShim } from '../../support/shim.ts'
import { until } from '../../support/until.ts'
import { LeasingSource } from '../refresh/leasing-source.ts'
import { begin, openMessage, World } from './mount-world.ts'

const ATTRIBUTES = new Map([['items', '[{ from: vault, secret: database/creds/shop, key: user }]']])

/** A daemon whose one source leases what it gives. */
export class LeasingWorld extends World {
  readonly vault = new LeasingSource(this.clock)
  readonly #fetching: Fetching = {
    fetch: (workload, _from, ask) => this.vault.fetch(workload, ask),
  }

  readonly leasing: Stages = {
    ...this.stages,
    sources: new Map([['vault', this.vault]]),
    grammars: new Map([['vault', VAULT_GRAMMAR]]),
    collect: async (workload, items, fsGroup, signal, holdings) => {
      const through = holdings?.through(this.#fetching) ?? this.#fetching
      const contents = await collect(workload, items, fsGroup, through, signal)
      return { ...contents, dispose: () => undefined }
    },
  }

  begin(t: ExecutionContext, first: ShimMessage__Output) {
    const shim = new ScriptedShim()
    shim.notes = true
    return begin(t, { stages: this.leasing }, first, shim)
  }

  open(bookmark: Buffer = Buffer.alloc(0)): ShimMessage__Output {
    const message = openMessage({ attributes: ATTRIBUTES })
    if (message.open) message.open.bookmark = bookmark
    return message
  }
}

export async function opened(
  t: ExecutionContext,
  on: LeasingWorld,
  bookmark?: Buffer,
  sessions = on.sessions,
) {
  const stream = on.begin(t, on.open(bookmark))
  const { text, digest } = await stream.shim.generation(1)
  stream.shim.commit(1)
  await until(() => sessions.list().some(({ session }) => session.hasCommitted), {
    what: 'the commit',
  })
  return { ...stream, text, digest }
}

/** The newest that the shim was left. */
export function bookmarkOf(shim: ScriptedShim): Buffer {
  const left = shim.heard.flatMap(({ bookmark }) => bookmark ?? []).at(-1)
  return Buffer.from(left?.data ?? '')
}
