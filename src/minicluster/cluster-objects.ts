import type { Clock } from '../core/clock.ts'
import { LatchkeyError } from '../core/errors.ts'
import type { ObjectRef } from './object-meta.ts'
import { Revision } from './object-meta.ts'
import { Events } from './events.ts'
import { PodStore } from './pod-store.ts'
import type { PodEvent, PodRef, PodSpec, ServiceAccount, StoredPod } from './pod-store.ts'
import { Grants } from './rbac.ts'
import type { Grant, Revocation } from './rbac.ts'
import { SecretStore } from './secret-store.ts'
import type { SecretSpec, StoredSecret } from './secret-store.ts'
import { TokenIssuer } from './tokens.ts'
import type { IssuedToken } from './tokens.ts'

/** The daemon's own service account, as the manifests name it. */
export const DAEMON_ACCOUNT: ObjectRef = { namespace: 'latchkey-system', name: 'latchkey' }

const DEFAULT_TOKEN_SECONDS = 3600
const DEFAULT_GRACE_MS = 30_000

/** What there is in the cluster. Namespaces exist as soon as something is in them. */
export class ClusterObjects {
  readonly secrets: SecretStore
  readonly pods: PodStore
  readonly createdEvents: Events
  readonly grants = new Grants()
  readonly tokens: TokenIssuer

  constructor(clock: Clock) {
    const revision = new Revision()
    this.secrets = new SecretStore(clock, revision)
    this.pods = new PodStore(clock, revision)
    this.createdEvents = new Events(this.pods)
    this.tokens = new TokenIssuer(clock, this.pods)
    this.pods.createServiceAccount(DAEMON_ACCOUNT)
    this.grants.grantTokenReviews(DAEMON_ACCOUNT)
  }

  /** Throws: InvalidRequest. */
  createSecret(spec: SecretSpec): StoredSecret {
    return this.secrets.create(spec)
  }

  /** Replaces the whole of `data`. Throws: InvalidRequest · SecretNotFound. */
  updateSecret(spec: Pick<SecretSpec, 'namespace' | 'name' | 'data'>): StoredSecret {
    return this.secrets.update(spec)
  }

  /** Throws: SecretNotFound. */
  deleteSecret(ref: ObjectRef): void {
    this.secrets.delete(ref)
  }

  /** Throws: InvalidRequest. */
  createServiceAccount(ref: ObjectRef): ServiceAccount {
    return this.pods.createServiceAccount(ref)
  }

  deleteServiceAccount(ref: ObjectRef): void {
    this.pods.deleteServiceAccount(ref)
  }

  grant(grant: Grant): void {
    this.grants.grant(grant)
  }

  revoke(revocation: Revocation): void {
    this.grants.revoke(revocation)
  }

  /** Throws: InvalidRequest. */
  createPod(spec: PodSpec): StoredPod {
    return this.pods.create(spec)
  }

  /** The pod's kubelet cleans up first; the object goes when it has. */
  deletePod({ uid }: PodRef, graceMs = DEFAULT_GRACE_MS): void {
    this.pods.markDeleted(uid, graceMs)
  }

  /** The object goes at once, whatever its kubelet has mounted. */
  forceDelete({ uid }: PodRef): void {
    this.pods.remove(uid)
  }

  /** What the component `events` of the manifests adds. */
  letDaemonCreateEvents(): void {
    this.grants.grantEvents(DAEMON_ACCOUNT)
  }

  /** kubelet's, and those that were created at the API server. */
  events({ uid }: PodRef): readonly PodEvent[] {
    return this.pods.events(uid)
  }

  /**
   * A token bound to the pod; audience '' is the API server's own.
   * Throws: InvalidRequest (no such pod, a life under 10 minutes).
   */
  podToken({ uid, name }: PodRef, audience: string, lifeSeconds?: number): IssuedToken {
    const pod = this.pods.get(uid)
    if (pod === undefined) throw new LatchkeyError('InvalidRequest', `pods "${name}" not found`)
    return this.tokens.mintForPod(pod, audience, lifeSeconds ?? DEFAULT_TOKEN_SECONDS)
  }
}
