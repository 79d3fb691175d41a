import type { SecretBytes } from './secret-bytes.ts'

/** A pod as its tokens name it. From a request these are claims; from a review they are facts. */
export interface Pod {
  readonly namespace: string
  readonly name: string
  readonly uid: string
  readonly serviceAccount: string
}

/** One of the pod's service account tokens. `audience` is what it was requested for, "" the API server's own. */
export interface ServiceToken {
  readonly audience: string
  readonly token: SecretBytes
  readonly expiresAtMs: number
}

/** One file of a volume, as it is to lie on the tmpfs. */
export interface VolumeFile {
  /** Relative and "/"-separated; checked by safe-path on both sides. */
  readonly path: string
  readonly data: SecretBytes
  /** Permission bits, 0o777 at most. */
  readonly mode: number
  readonly ownerUid: number
}

/** What a shim wants mounted: a request that has the right shape, nothing of it proven yet. */
export interface VolumeRequest {
  readonly volumeId: string
  readonly targetPath: string
  readonly pod: Pod
  readonly tokens: readonly ServiceToken[]
  readonly attributes: ReadonlyMap<string, string>
  readonly fsGroup: number | undefined
}
