/** Whatever kubectl takes. */
export interface KubeObject {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string; readonly [field: string]: unknown }
  readonly [field: string]: unknown
}

/** What stories read of a pod. */
export interface Pod extends KubeObject {
  readonly metadata: {
    readonly name: string
    readonly uid: string
    readonly creationTimestamp: string
    readonly deletionTimestamp?: string
  }
  readonly status: {
    readonly phase: 'Pending' | 'Running' | 'Succeeded' | 'Failed' | 'Unknown'
    readonly podIP?: string
    readonly conditions?: readonly { readonly type: string; readonly status: string }[]
    readonly containerStatuses?: readonly ContainerStatus[]
  }
}

export interface ContainerStatus {
  readonly name: string
  readonly ready: boolean
  readonly restartCount: number
  /** With `containerd://` before it; empty until it was made. */
  readonly containerID?: string
  readonly state?: {
    readonly running?: { readonly startedAt: string }
    readonly waiting?: { readonly reason: string }
  }
  readonly lastState?: {
    readonly terminated?: { readonly exitCode: number; readonly finishedAt: string }
  }
}

export interface KubeEvent {
  readonly type: 'Normal' | 'Warning'
  readonly reason: string
  readonly message: string
  readonly count?: number
  /** To the second; not on every event. */
  readonly lastTimestamp?: string
  readonly involvedObject: { readonly name: string }
}

export interface ConsumerOptions {
  readonly serviceAccount?: string
  /** Volume name -> its source, as in a pod's `volumes`. Each is mounted at /volumes/NAME. */
  readonly volumes: Readonly<Record<string, object>>
  /** Volumes that the container does not mount. */
  readonly unmounted?: readonly string[]
  readonly podSecurityContext?: object
  /** Further fields of the one container; `volumeMounts` are added to those of the volumes. */
  readonly container?: {
    readonly volumeMounts?: readonly object[]
    readonly [field: string]: unknown
  }
}

/** Ends at once on SIGTERM, which `sleep` as process 1 would not. */
const WAIT = 'trap "exit 0" TERM; while :; do sleep 3600 & wait $!; done'

/** A pod that mounts the volumes and waits; the container is called `app`. */
export function consumerPod(name: string, image: string, options: ConsumerOptions): KubeObject {
  const { volumes, serviceAccount, unmounted = [], podSecurityContext, container } = options
  const mounted = Object.keys(volumes).filter((volume) => !unmounted.includes(volume))
  const volumeMounts = [
    ...mounted.map((volume) => ({ name: volume, mountPath: `/volumes/${volume}`, readOnly: true })),
    ...(container?.volumeMounts ?? []),
  ]
  const app = {
    name: 'app',
    image,
    imagePullPolicy: 'IfNotPresent',
    command: ['bash', '-c', WAIT],
    ...container,
    volumeMounts,
  }
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: {
      ...(serviceAccount !== undefined && { serviceAccountName: serviceAccount }),
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds: 5,
      ...(podSecurityContext && { securityContext: podSecurityContext }),
      containers: [app],
      volumes: Object.entries(volumes).map(([volume, source]) => ({ name: volume, ...source })),
    },
  }
}

/** A volume of ours, as a source for `consumerPod`. */
export function latchkeyVolume(attributes: Readonly<Record<string, string>>): object {
  return { csi: { driver: 'csi.latchkey.dev', readOnly: true, volumeAttributes: attributes } }
}

/** A Secret of raw bytes. */
export function secret(
  name: string,
  entries: Readonly<Record<string, string | Buffer>>,
): KubeObject {
  const data = Object.entries(entries).map(([key, value]) => [
    key,
    Buffer.from(value).toString('base64'),
  ])
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name },
    data: Object.fromEntries(data) as Record<string, string>,
  }
}

/** A service account, and the right to read the named Secrets. */
export function reader(
  serviceAccount: string,
  namespace: string,
  secrets: readonly string[],
  verbs: readonly string[] = ['get', 'watch'],
): KubeObject[] {
  const rbac = 'rbac.authorization.k8s.io'
  const name = `${serviceAccount}-reads`
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: serviceAccount } },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'Role',
      metadata: { name },
      rules: [{ apiGroups: [''], resources: ['secrets'], resourceNames: secrets, verbs }],
    },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'RoleBinding',
      metadata: { name },
      roleRef: { apiGroup: rbac, kind: 'Role', name },
      subjects: [{ kind: 'ServiceAccount', name: serviceAccount, namespace }],
    },
  ]
}
