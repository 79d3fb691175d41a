/** What kubelet takes from a CSIDriver object. */
export interface CsiDriver {
  readonly name: string
  readonly podInfoOnMount: boolean
  readonly requiresRepublish: boolean
  readonly tokenRequests: readonly TokenRequest[]
  /** false: among the attributes, as before Kubernetes 1.35. */
  readonly serviceAccountTokenInSecrets: boolean
}

export interface TokenRequest {
  /** '' is the API server's own. */
  readonly audience: string
  readonly expirationSeconds: number
}

/** The CSIDriver object that Latchkey is shipped with. */
export const LATCHKEY_DRIVER: CsiDriver = {
  name: 'csi.latchkey.dev',
  podInfoOnMount: true,
  requiresRepublish: true,
  tokenRequests: [
    { audience: 'latchkey', expirationSeconds: 600 },
    { audience: '', expirationSeconds: 600 },
  ],
  serviceAccountTokenInSecrets: true,
}
