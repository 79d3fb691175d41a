import { volumeIdOf } from '../../src/core/volume-id.ts'
import { LATCHKEY_DRIVER } from '../../src/minicluster/csi-driver.ts'
import type { Minicluster } from '../../src/minicluster/minicluster.ts'
import type { StoredPod } from '../../src/minicluster/pod-store.ts'
import type { Finding } from './findings.ts'
import type { Expected } from './inspection.ts'
import type { SideProcess } from './side-process.ts'
import { NAMESPACE, type SoakSecrets } from './soak-secrets.ts'
import type { SoakVault } from './soak-vault.ts'
import { readVolume } from './volume-reading.ts'

/** A pod with one volume, and what is known of it from outside. */
export interface Member {
  readonly pod: StoredPod
  readonly secret: string
  readonly targetPath: string
  /** kubelet was told OK: from here on the files are there, always. */
  isPromised: boolean
  isLeaving: boolean
  /** The newest generation that was seen in it. */
  shown: number
  /** The host process that has its tokens. */
  tokensOf: SideProcess | undefined
  /** When kubelet last came by and was answered. */
  visitedAtMs: number
  /** The daemon process that is known to hold its session. */
  sessionOf: SideProcess | undefined
}

export interface SoakPodsParts {
  readonly cluster: Minicluster
  readonly secrets: SoakSecrets
  readonly vault: SoakVault | undefined
  /** Who answers kubelet now. */
  readonly host: () => SideProcess
}

const ACCOUNT = 'api'
const VOLUME = 'db'

/** Pods of one service account, and what was seen in their volumes. */
export class SoakPods {
  readonly #parts: SoakPodsParts
  readonly #members = new Map<string, Member>()
  /** What a pod saw that no pod may ever see. */
  readonly #seen = new Map<string, Finding>()
  #podNumber = 0

  constructor(parts: SoakPodsParts) {
    this.#parts = parts
    const { objects } = parts.cluster
    objects.createServiceAccount({ namespace: NAMESPACE, name: ACCOUNT })
    objects.grant({ namespace: NAMESPACE, serviceAccount: ACCOUNT, verbs: ['get', 'watch'] })
    objects.pods.subscribe(() => {
      this.#follow()
    })
  }

  /** Those that are leaving included. */
  get count(): number {
    return this.#members.size
  }

  /** Those that are to stay. */
  get living(): readonly Member[] {
    return [...this.#members.values()].filter(({ isLeaving }) => !isLeaving)
  }

  get seen(): readonly Finding[] {
    return [...this.#seen.values()]
  }

  add(secret: string, fsGroup?: number): Member {
    const { cluster, secrets, vault } = this.#parts
    const { objects, nodeName, kubelet } = cluster
    if (secrets.generationOf(secret) === 0) secrets.change(secret)
    this.#podNumber += 1
    const volumeAttributes = vault?.attributesOf(secret) ?? { secret }
    const csi = { driver: LATCHKEY_DRIVER.name, readOnly: true, volumeAttributes }
    const spec = {
      namespace: NAMESPACE,
      name: `pod-${this.#podNumber}`,
      serviceAccount: ACCOUNT,
      node: nodeName,
      volumes: [{ name: VOLUME, csi }],
      ...(fsGroup === undefined ? {} : { fsGroup }),
    }
    const pod = objects.createPod(spec)
    const member = {
      pod,
      secret,
      targetPath: kubelet.targetPath(pod, VOLUME),
      isPromised: false,
      isLeaving: false,
      shown: 0,
      tokensOf: undefined,
      visitedAtMs: Date.now(),
      sessionOf: undefined,
    }
    this.#members.set(pod.uid, member)
    return member
  }

  delete(member: Member): void {
    member.isLeaving = true
    this.#parts.cluster.objects.deletePod(member.pod)
  }

  /** Reads every volume that was promised, as its pod would; what it must not see is remembered. */
  look(): void {
    for (const member of this.#members.values()) this.#look(member)
  }

  /** Those that are not yet what they are to be. */
  pending(): readonly Finding[] {
    const { kubelet } = this.#parts.cluster
    return [...this.#members.values()].flatMap(({ pod, isLeaving }): readonly Finding[] => {
      const state = kubelet.state(pod)
      if (state === (isLeaving ? 'Gone' : 'Running')) return []
      return [{ kind: 'lost', what: `pod ${pod.name} is ${state}` }]
    })
  }

  /** What has to lie on the node for those that are to stay. */
  expected(): readonly Expected[] {
    const { secrets, vault } = this.#parts
    return this.living.map(({ pod, secret, targetPath, shown }) => {
      // Of a Vault it is right to have whichever user lives.
      const ofVault = vault?.isUser(shown) === true ? shown : 0
      const generation = vault === undefined ? secrets.generationOf(secret) : ofVault
      const volumeId = volumeIdOf(pod.uid, VOLUME)
      return { volumeId, targetPath, generation, filesOf: secrets.filesOf(secret) }
    })
  }

  #follow(): void {
    for (const [uid, member] of this.#members) {
      const stored = this.#parts.cluster.objects.pods.get(uid)
      if (stored === undefined && member.isLeaving) this.#members.delete(uid)
      if (stored?.phase !== 'Running' || member.isPromised || member.isLeaving) continue
      // In the very moment in which kubelet takes the driver's OK for an answer.
      member.isPromised = true
      member.tokensOf = this.#parts.host()
      this.#look(member)
    }
  }

  #look(member: Member): void {
    if (!member.isPromised || member.isLeaving) return
    const reading = readVolume(member.targetPath, this.#parts.secrets.filesOf(member.secret))
    const { name, uid } = member.pod
    if (reading.kind !== 'whole') {
      this.#seen.set(uid, { kind: reading.kind, what: `pod ${name}: ${reading.why}` })
      return
    }
    if (reading.generation < member.shown) {
      const what = `pod ${name}: went back from generation ${member.shown} to ${reading.generation}`
      this.#seen.set(uid, { kind: 'lost', what })
    }
    member.shown = reading.generation
    this.#parts.vault?.noteShown(uid, reading.generation)
  }
}
