/** What both sides are told, whole and checked; units are in the names. Made by load.ts, frozen. */
export interface Config {
  /** The CSI driver's name, as pods and the CSIDriver object have it. */
  readonly driver: string
  /** Of the tokens that prove a pod to the daemon. */
  readonly audience: string
  /** This node, as the API server calls it; undefined where neither file nor environment says. */
  readonly node: string | undefined
  readonly kubelet: {
    /** kubelet's --root-dir: absolute, no slash at the end. */
    readonly root: string
  }
  readonly sockets: {
    /** Where the host side calls the daemon. */
    readonly mount: string
  }
  readonly volumes: {
    /** All files of one volume together. */
    readonly maxBytes: number
    readonly allowSwap: boolean
    /** For tmpfs' `context=`; undefined leaves the label to the kernel. */
    readonly selinuxContext: string | undefined
    readonly oldGenerationLingerMs: number
    /** How long a pod has to seem ended before its files go without an unpublish. */
    readonly endedGraceMs: number
  }
  readonly limits: {
    readonly namespaceBytes: number
    readonly nodeBytes: number
    /** Of the host side; undefined: as its container's memory limit allows. */
    readonly tmpfsBytes?: number | undefined
    readonly concurrentPublishes: number
    readonly waitingPublishes: number
    /** Kept in memory for items that are served while their source is away. */
    readonly lastValuesBytes: number
    /** On each of our sockets. */
    readonly connections: number
  }
  readonly refresh: {
    /** Between two looks at a secret that may not be watched. */
    readonly intervalMs: number
  }
  readonly events: {
    readonly enabled: boolean
    /** How long a volume has to have been stale before its pod is told. */
    readonly staleAfterMs: number
  }
  readonly kubernetes: {
    /** Absolute path; undefined: the pod's own service account. */
    readonly kubeconfig: string | undefined
    /** Of one call, from its first to its last byte. */
    readonly timeoutMs: number
  }
  readonly http: {
    readonly address: string
    /** 0 takes any free one. */
    readonly port: number
  }
  readonly log: {
    readonly level: 'error' | 'warn' | 'info' | 'debug'
  }
  /** Beside the cluster's own Secrets; names differ. */
  readonly sources: readonly SourceConfig[]
}

export type SourceConfig = VaultConfig

export interface VaultConfig {
  readonly kind: 'vault'
  readonly name: string
  readonly address: string
  /** Absolute path of a PEM file, on the daemon's side. */
  readonly caFile: string | undefined
  readonly serverName: string | undefined
  readonly namespace: string | undefined
  readonly auth: {
    readonly method: 'kubernetes' | 'jwt'
    /** Without `auth/`. */
    readonly mount: string
    /** undefined leaves it to the items. */
    readonly role: string | undefined
    /** Never that by which pods are proven to the daemon. */
    readonly audience: string
  }
  readonly limits: {
    readonly concurrent: number
    readonly perSecond: number
    readonly timeoutMs: number
    readonly maxBytes: number
  }
}
