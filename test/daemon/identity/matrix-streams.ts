import { isDeepStrictEqual } from 'node:util'
import type { Chance } from '../../soak/chance.ts'
import { VOLUMES, type ClusterPod } from './matrix-cluster.ts'
import { MatrixDaemon, openOf, tokensOf } from './matrix-daemon.ts'
import { whoIsToBeServed, type Asked, type Grant } from './matrix-oracle.ts'
import {
  ALIVE_HERE,
  CHANGE_NAMES,
  drawRequestOf,
  handleOf,
  pathOf,
  type DrawnRequest,
} from './matrix-requests.ts'
import { MatrixShim } from './matrix-shim.ts'

/** What ought to be of one volume: for whom it fetches, and whether somebody has its stream. */
interface Held {
  readonly volumeId: string
  readonly targetPath: string
  due: Grant
  shim: MatrixShim | undefined
  /** What a shim may show: what it has shown last, and the last two that were sent, the newest first. */
  shown: string
  sent: readonly string[]
}

interface Place {
  readonly owner: ClusterPod
  readonly volume: string
}

/** Of one step: what was done, and undefined or how the daemon was wrong. */
export interface Step {
  readonly kind: string
  readonly changes: readonly string[]
  readonly isGranted: boolean
  readonly wrong: string | undefined
}

const PLACES: readonly Place[] = ALIVE_HERE.flatMap((owner) =>
  VOLUMES.map((volume) => ({ owner, volume })),
)
/** What can be wrong with an offer: it names no pod and no volume of its own. */
export const OFFER_CHANGES = CHANGE_NAMES.filter(
  (name) => /token|API server/.test(name) && !name.startsWith('all but'),
)
const ACTS = { open: 20, offer: 40, hangUp: 14, resume: 16, speakLate: 5, unmount: 5 } as const

/**
 * One daemon and all volumes of its node, each with a stream, with one that was left behind, or with none; and an
 * oracle that says of each step what has to come of it.
 */
export class MatrixStreams {
  readonly #daemon = new MatrixDaemon()
  readonly #held = new Map<string, Held>()
  readonly #chance: Chance
  #salt = 0

  constructor(chance: Chance) {
    this.#chance = chance
  }

  async step(): Promise<Step> {
    const isAnyLive = [...this.#held.values()].some(({ shim }) => shim !== undefined)
    const drawn = this.#chance.weigh(ACTS)
    const kind = isAnyLive || drawn === 'resume' ? drawn : 'open'
    const { changes, isGranted, wrong } = await this.#take(kind)
    return { kind, changes, isGranted, wrong: wrong ?? (await this.#verify()) }
  }

  /** Ends all that still lives. */
  async end(): Promise<void> {
    for (const { shim } of this.#held.values()) shim?.hangUp()
    await this.#daemon.pass(0)
    this.#daemon.sessions.close()
  }

  #take(kind: keyof typeof ACTS): Promise<Omit<Step, 'kind'>> {
    if (kind === 'open') return this.#open()
    if (kind === 'resume') return this.#resume()
    const live = [...this.#held.values()].filter(({ shim }) => shim !== undefined)
    const held = this.#chance.pick(live)
    if (kind === 'offer') return this.#offer(held)
    return this.#leave(held, kind)
  }

  #draw({ owner, volume }: Place, names: readonly string[]): DrawnRequest {
    this.#salt += 1
    const drawn = drawRequestOf(this.#chance, owner, volume, names, this.#salt)
    this.#daemon.learn(drawn.asked)
    return drawn
  }

  /** For a volume that may have a stream already, which only a request that proves itself may take. */
  async #open(): Promise<Omit<Step, 'kind'>> {
    const { asked, changes } = this.#draw(this.#chance.pick(PLACES), CHANGE_NAMES)
    const due = whoIsToBeServed(asked)
    const older = this.#held.get(asked.volumeId)
    const shim = await this.#begin({ open: openOf(asked) })
    const step = { changes, isGranted: due !== undefined }
    if (due === undefined) {
      const isRefused = shim.end !== undefined && shim.end !== 'Internal'
      const wrong = isRefused && shim.generations.length === 0 ? undefined : 'was not refused'
      return { ...step, wrong: wrong && `${wrong}: ${this.#tell(asked, shim)}` }
    }
    if (older?.shim !== undefined && older.shim.end !== 'OperationPending') {
      return { ...step, wrong: `the older stream ended with ${String(older.shim.end)}` }
    }
    const first = shim.generations[0]
    if (shim.end !== undefined || first === undefined) {
      return { ...step, wrong: `was not served: ${this.#tell(asked, shim)}` }
    }
    const { volumeId, targetPath } = asked
    const { digest } = first
    this.#held.set(volumeId, { volumeId, targetPath, due, shim, shown: digest, sent: [digest] })
    return { ...step, wrong: undefined }
  }

  /** Newer tokens on a live stream: they count where an Open with them would be served. */
  async #offer(held: Held): Promise<Omit<Step, 'kind'>> {
    const place = PLACES.find(({ owner, volume }) => handleOf(owner.uid, volume) === held.volumeId)
    if (place === undefined) throw new Error('a volume that nobody has')
    const { asked, changes } = this.#draw(place, OFFER_CHANGES)
    const due = whoIsToBeServed(asked)
    held.shim?.say({ tokens: { tokens: tokensOf(asked.tokens) } })
    await this.#daemon.pass(0)
    if (due !== undefined) held.due = due
    const wrong = await this.#check(held)
    return { changes, isGranted: due !== undefined, wrong }
  }

  /** Of any volume, by any path, with what any volume shows: only what was left behind, and is known, goes on. */
  async #resume(): Promise<Omit<Step, 'kind'>> {
    const chance = this.#chance
    const all = [...this.#held.values()]
    const left = all.filter(({ shim }) => shim === undefined)
    const { owner, volume } = chance.pick(PLACES)
    const strange = { volumeId: handleOf(owner.uid, volume), targetPath: pathOf(owner.uid, volume) }
    const wanted = left.length > 0 && chance.isHit(0.8) ? chance.pick(left) : strange
    const other = all.length > 0 ? chance.pick(all) : undefined
    const held = this.#held.get(wanted.volumeId)
    const targetPath = chance.isHit(0.8) ? wanted.targetPath : (other?.targetPath ?? '/')
    const digests = [held?.shown, ...(held?.sent ?? []), held?.shown, other?.shown, '', '00']
    const digest = chance.pick(digests.filter((one) => one !== undefined))
    const isKnown = held !== undefined && [held.shown, ...held.sent].includes(digest)
    const isDue = isKnown && held.shim === undefined && held.targetPath === targetPath

    const word = { volumeId: wanted.volumeId, targetPath, digest: Buffer.from(digest, 'hex') }
    const shim = await this.#begin({ resume: word })
    const step = { changes: [], isGranted: isDue }
    if (!isDue) {
      const isRefused = shim.end === 'UnknownSession' && !shim.isResumed
      const wrong = isRefused && shim.generations.length === 0 ? undefined : 'was resumed'
      return { ...step, wrong: wrong && `${wrong}: ${String(shim.end)}` }
    }
    if (!shim.isResumed || shim.end !== undefined) {
      return { ...step, wrong: `was not resumed: ${String(shim.end)}` }
    }
    Object.assign(held, { shim, shown: digest })
    return { ...step, wrong: await this.#check(held) }
  }

  /** The stream ends: broken, with another first word, which only a first word may be, or for good. */
  async #leave(held: Held, how: 'hangUp' | 'speakLate' | 'unmount'): Promise<Omit<Step, 'kind'>> {
    const { shim } = held
    if (how === 'hangUp') shim?.hangUp()
    else if (how === 'unmount') shim?.say({ unmounted: {} })
    else shim?.say({ open: openOf(this.#draw(this.#chance.pick(PLACES), []).asked) })
    await this.#daemon.pass(0)
    const ends = { hangUp: ['the end'], unmount: ['the end'], speakLate: ['InvalidRequest'] }
    const isRight = ends[how].includes(String(shim?.end))
    held.shim = undefined
    if (how === 'unmount') this.#held.delete(held.volumeId)
    const wrong = isRight ? undefined : `the stream ended with ${String(shim?.end)}`
    return { changes: [], isGranted: false, wrong }
  }

  async #begin(word: Parameters<MatrixShim['say']>[0]): Promise<MatrixShim> {
    const shim = new MatrixShim()
    shim.say(word)
    void this.#daemon.hold(shim).then(
      (end) => {
        shim.end = end
      },
      () => {
        shim.end = 'Internal'
      },
    )
    await this.#daemon.pass(0)
    return shim
  }

  /** Somebody else's step has changed nothing for a volume: it fetches for its own pod as before. */
  async #verify(): Promise<string | undefined> {
    const live = [...this.#held.values()].filter(({ shim }) => shim !== undefined)
    return live.length === 0 ? undefined : this.#check(this.#chance.pick(live))
  }

  async #check(held: Held): Promise<string | undefined> {
    const { volumeId, due, shim } = held
    if (shim?.end !== undefined) return `a live stream ended with ${shim.end}`
    const found = await this.#daemon.fetchFor(volumeId)
    const sent = (shim?.generations ?? []).map(({ digest }) => digest)
    held.shown = sent.at(-1) ?? held.shown
    held.sent = [...sent.toReversed(), ...held.sent].slice(0, 2)
    const isOwn = shim?.generations.every(({ grant }) => isDeepStrictEqual(grant.pod, due.pod))
    if (isDeepStrictEqual(found, due) && isOwn === true) return undefined
    return `fetched for ${JSON.stringify(found)}, not for ${JSON.stringify(due)}`
  }

  #tell(asked: Asked, { end, generations }: MatrixShim): string {
    return JSON.stringify({ asked, end, generations })
  }
}
