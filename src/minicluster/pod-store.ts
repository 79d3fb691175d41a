import type { Clock } from '../core/clock.ts'
import { LatchkeyError } from '../core/errors.ts'
import { isDnsLabel } from '../core/kube-names.ts'
import { checkRef, keyOf, newUid } from './object-meta.ts'
import type { ObjectMeta, ObjectRef, Revision } from './object-meta.ts'

/** A volume as a pod's manifest has it. */
export interface PodVolume {
  readonly name: string
  readonly csi: {
    readonly driver: string
    readonly readOnly?: boolean
    readonly fsType?: string
    readonly volumeAttributes?: Readonly<Record<string, string>>
  }
}

export interface PodSpec extends ObjectRef {
  /** Default: "default", which every namespace has. */
  readonly serviceAccount?: string
  /** The node it is bound to; there is no scheduler. */
  readonly node: string
  readonly fsGroup?: number
  readonly volumes?: readonly PodVolume[]
}

/** A pod of a name may come and go; only with its uid is it this one. */
export interface PodRef extends ObjectRef {
  readonly uid: string
}

export interface StoredPod extends ObjectMeta {
  readonly serviceAccount: string
  readonly node: { readonly name: string; readonly uid: string }
  readonly fsGroup: number | undefined
  readonly volumes: readonly PodVolume[]
  readonly phase: 'Pending' | 'Running'
  /** When its grace is over, once it was deleted. */
  readonly deletionAtMs: number | undefined
}

/** A service account's identity, which a new one of the same name does not share. */
export interface ServiceAccount extends ObjectRef {
  readonly uid: string
}

export interface PodEvent {
  readonly type: 'Normal' | 'Warning'
  readonly reason: string
  readonly message: string
  readonly atMs: number
}

const MAX_EVENTS_PER_POD = 500
const DEFAULT_ACCOUNT = 'default'

/** Service accounts, pods and what happened to these. */
export class PodStore {
  readonly #clock: Clock
  readonly #revision: Revision
  readonly #accounts = new Map<string, ServiceAccount>()
  readonly #nodeUids = new Map<string, string>()
  readonly #pods = new Map<string, StoredPod>()
  readonly #events = new Map<string, PodEvent[]>()
  readonly #listeners = new Set<() => void>()

  constructor(clock: Clock, revision: Revision) {
    this.#clock = clock
    this.#revision = revision
  }

  /** Throws: InvalidRequest (names, already there). */
  createServiceAccount(ref: ObjectRef): ServiceAccount {
    checkRef('serviceaccount', ref)
    if (this.#accounts.has(keyOf(ref)))
      throw invalid(`serviceaccounts "${ref.name}" already exists`)
    const account = { namespace: ref.namespace, name: ref.name, uid: newUid() }
    this.#accounts.set(keyOf(ref), account)
    return account
  }

  /** Every token of it is void from now on. */
  deleteServiceAccount(ref: ObjectRef): void {
    this.#accounts.delete(keyOf(ref))
  }

  serviceAccount(ref: ObjectRef): ServiceAccount | undefined {
    return this.#accounts.get(keyOf(ref))
  }

  /** Throws: InvalidRequest, naming the field. */
  create(spec: PodSpec): StoredPod {
    checkRef('pod', spec)
    const { namespace, name, serviceAccount = DEFAULT_ACCOUNT, volumes = [] } = spec
    checkVolumes(volumes)
    if (this.find(spec) !== undefined) throw invalid(`pods "${name}" already exists`)
    this.#admitServiceAccount(spec, { namespace, name: serviceAccount })
    const pod: StoredPod = {
      namespace,
      name,
      uid: newUid(),
      resourceVersion: this.#revision.next(),
      createdAtMs: this.#clock.now(),
      serviceAccount,
      node: { name: spec.node, uid: this.#nodeUid(spec.node) },
      fsGroup: spec.fsGroup,
      volumes,
      phase: 'Pending',
      deletionAtMs: undefined,
    }
    this.#put(pod)
    return pod
  }

  get(uid: string): StoredPod | undefined {
    return this.#pods.get(uid)
  }

  find(ref: ObjectRef): StoredPod | undefined {
    return [...this.#pods.values()].find((pod) => keyOf(pod) === keyOf(ref))
  }

  listOn(nodeName: string): readonly StoredPod[] {
    return [...this.#pods.values()].filter(({ node }) => node.name === nodeName)
  }

  setRunning(uid: string): void {
    const pod = this.#pods.get(uid)
    if (pod?.phase === 'Pending') this.#put({ ...pod, phase: 'Running' })
  }

  /** The object stays until its kubelet has cleaned up. */
  markDeleted(uid: string, graceMs: number): void {
    const pod = this.#pods.get(uid)
    if (pod === undefined || pod.deletionAtMs !== undefined) return
    this.#put({ ...pod, deletionAtMs: this.#clock.now() + graceMs })
  }

  remove(uid: string): void {
    if (!this.#pods.delete(uid)) return
    this.#revision.next()
    this.#tell()
  }

  /** Outlives the pod, as events do. */
  recordEvent(uid: string, event: Omit<PodEvent, 'atMs'>): void {
    const events = this.#events.get(uid) ?? []
    events.push({ ...event, atMs: this.#clock.now() })
    if (events.length > MAX_EVENTS_PER_POD) events.shift()
    this.#events.set(uid, events)
  }

  events(uid: string): readonly PodEvent[] {
    return [...(this.#events.get(uid) ?? [])]
  }

  /** Calls back after every change of any pod. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => {
      this.#listeners.delete(listener)
    }
  }

  #put(pod: StoredPod): void {
    this.#pods.set(pod.uid, { ...pod, resourceVersion: this.#revision.next() })
    this.#tell()
  }

  #tell(): void {
    for (const listener of this.#listeners) listener()
  }

  #admitServiceAccount(pod: ObjectRef, account: ObjectRef): void {
    if (this.#accounts.has(keyOf(account))) return
    if (account.name === DEFAULT_ACCOUNT) {
      this.createServiceAccount(account)
      return
    }
    throw invalid(
      `pods "${pod.name}" is forbidden: error looking up service account ${keyOf(account)}: serviceaccount "${account.name}" not found`,
    )
  }

  #nodeUid(nodeName: string): string {
    const uid = this.#nodeUids.get(nodeName) ?? newUid()
    this.#nodeUids.set(nodeName, uid)
    return uid
  }
}

function checkVolumes(volumes: readonly PodVolume[]): void {
  const names = new Set<string>()
  for (const { name } of volumes) {
    // The name becomes a folder of kubelet's.
    if (!isDnsLabel(name)) throw invalid(`volumes: "${name}" is no name of a volume`)
    if (names.has(name)) throw invalid(`volumes: "${name}" is there twice`)
    names.add(name)
  }
}

function invalid(message: string): LatchkeyError {
  return new LatchkeyError('InvalidRequest', message)
}
