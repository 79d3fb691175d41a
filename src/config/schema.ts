import * as z from 'zod'
import { MAX_VOLUME_BYTES } from '../core/limits.ts'
import {
  absolutePath,
  audience,
  bytes,
  driverName,
  duration,
  flag,
  ipAddress,
  nodeName,
  oneOf,
  selinuxContext,
  wholeNumber,
} from './kinds.ts'
import { source } from './source-words.ts'

/*
 * Every word of the configuration file with its default and its meaning; docs/reference/configuration.md
 * is made from this. A default is written as a user would write it.
 */

/**
 * Linux' 107 bytes for a socket's path, less the eight by which the name under which a socket is first
 * bound is longer than its own.
 */
export const MAX_SOCKET_PATH_BYTES = 99

/** Each has connections of its own. */
const MAX_SOURCES = 32

const MAX_VOLUME = `${MAX_VOLUME_BYTES / 1024 ** 2}MiB`

/** Words that hold words of their own. */
export const sections = {
  kubelet: section('kubelet on this node.', {
    root: absolutePath()
      .describe(
        "kubelet's `--root-dir`. The CSI socket, the registration socket and all volumes lie below it; another value needs the host paths of the DaemonSet changed, too.",
      )
      .prefault('/var/lib/kubelet'),
  }),
  sockets: section('Sockets of our own. Those that kubelet uses follow from `kubelet.root`.', {
    mount: absolutePath(MAX_SOCKET_PATH_BYTES)
      .describe(
        'Where the host side calls the daemon. The folder around it belongs to the daemon, which keeps it at mode 0700.',
      )
      .prefault('/run/latchkey/mount/mount.sock'),
  }),
  volumes: section('The volumes of pods.', {
    maxBytes: bytes('4KiB', MAX_VOLUME)
      .describe('All files of one volume together. Larger volumes are refused as PayloadTooLarge.')
      .prefault(MAX_VOLUME),
    allowSwap: flag()
      .describe(
        'Go on where the kernel has no `noswap` for tmpfs (before 6.4) and swap is on. Secrets may then reach the disk.',
      )
      .prefault(false),
    selinuxContext: selinuxContext()
      .describe(
        "SELinux label of the volumes' files, for nodes that enforce SELinux. Left out, the kernel's own label for tmpfs stands.",
      )
      .optional(),
    oldGenerationLinger: duration('0s', '1m')
      .describe('How long old files stay after a change, for readers on their way to them by path.')
      .prefault('2s'),
    endedGrace: duration('10s', '1h')
      .describe(
        'How long a pod must seem to have ended, without a break, before its files go although kubelet did not unpublish them. They go only when no process of the pod is left on the node.',
      )
      .prefault('60s'),
  }),
  limits: section(
    'What is taken on at once. More is refused as Overloaded, and kubelet tries again.',
    {
      namespaceBytes: bytes('4KiB', '16GiB')
        .describe('Files of all volumes of one namespace on this node.')
        .prefault('32MiB'),
      nodeBytes: bytes('4KiB', '64GiB')
        .describe(
          'Files of all volumes on this node. They are memory of the host container: its memory limit has to be 192MiB and twice as much.',
        )
        .prefault('64MiB'),
      tmpfsBytes: bytes('4KiB', '128GiB')
        .describe(
          "What files really take of the host container's memory, old ones that still lie there included: no page is written beyond it, whatever the daemon says. One namespace gets four of five that others leave. Left out, it is the container's memory limit less 192MiB for the process, and without a limit twice `nodeBytes`.",
        )
        .optional(),
      concurrentPublishes: wholeNumber(1, 4096)
        .describe('Volumes that cost the API server or a source something at the same time.')
        .prefault(64),
      waitingPublishes: wholeNumber(0, 65_536)
        .describe(
          'Volumes that may wait in line for that, namespaces by turns. Both numbers together are the first publishes that a node has under way; one namespace gets four of five of them at most.',
        )
        .prefault(512),
      lastValuesBytes: bytes('0B', '1GiB')
        .describe(
          'Memory for what the daemon keeps for items with `onOutage: serve-last`: bytes and names, and 700 B for each entry. One namespace gets a quarter of it at most. What does not fit is not kept but tried again within ten minutes; until then those items wait for their source like all others.',
        )
        .prefault('8MiB'),
      connections: wholeNumber(8, 65_536)
        .describe('Connections on each socket. kubelet opens one for each call.')
        .prefault(1024),
    },
  ),
  refresh: section('How changes of a secret are noticed.', {
    interval: duration('1s', '24h')
      .describe(
        'Between two looks at a secret that the pod may `get` but not `watch`, give or take a tenth. A watched secret is not asked for.',
      )
      .prefault('60s'),
  }),
  events: section(
    'Events on pods whose files have gone stale. The daemon has to be allowed to create them: the kustomize component `events` does that and switches them on.',
    {
      enabled: flag()
        .describe('Tell a pod by an event that its files are stale, and when they are fresh again.')
        .prefault(false),
      staleAfter: duration('10s', '24h')
        .describe('How long a volume has to have been stale before its pod is told.')
        .prefault('2m'),
    },
  ),
  kubernetes: section('The API server.', {
    kubeconfig: absolutePath()
      .describe(
        "A kubeconfig file, for a daemon outside of the cluster. Left out, the pod's own service account is used.",
      )
      .optional(),
    timeout: duration('1s', '30s')
      .describe('For one call, from its first to its last byte.')
      .prefault('10s'),
  }),
  http: section("The daemon's one port, for probes and Prometheus.", {
    address: ipAddress().describe('The address to listen on.').prefault('0.0.0.0'),
    port: wholeNumber(0, 65_535).describe('0 takes any free port.').prefault(9808),
  }),
  log: section('JSON lines on standard output.', {
    level: oneOf(['error', 'warn', 'info', 'debug'])
      .describe('The least grave level that is written.')
      .prefault('info'),
  }),
} as const

const words = z.strictObject(
  {
    driver: driverName()
      .describe(
        'Name of the CSI driver. Pods name it in `csi.driver`; the CSIDriver object has it as its name.',
      )
      .prefault('csi.latchkey.dev'),
    audience: audience()
      .describe(
        'Audience of the tokens by which pods are proven. `spec.tokenRequests` of the CSIDriver must ask for it.',
      )
      .prefault('latchkey'),
    node: nodeName()
      .describe(
        'This node, as the API server calls it. The environment variable `NODE_NAME` wins over it; in a DaemonSet that is the only way to say it.',
      )
      .optional(),
    ...sections,
    sources: z
      .array(source, 'expected a list of sources, each a map that begins with "- "')
      .max(MAX_SOURCES, `expected at most ${MAX_SOURCES} sources`)
      .describe(
        "Where secrets lie beside the cluster's own: a list, one entry for each. Items name one of them in `from`.",
      )
      .prefault([]),
  },
  'expected a map of words, such as driver: csi.latchkey.dev',
)

/** Adds what only several words together can get wrong. */
export const schema = words.superRefine((all, context) => {
  const { driver, kubelet } = all
  const path = `${kubelet.root}/plugins_registry/${driver}-reg.sock`
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) {
    context.addIssue({
      code: 'custom',
      path: ['kubelet', 'root'],
      message: `with this driver the path of the socket ${path} is longer than ${MAX_SOCKET_PATH_BYTES} bytes`,
    })
  }
  for (const issue of strangeSources(all)) context.addIssue({ code: 'custom', ...issue })
})

interface Issue {
  readonly path: PropertyKey[]
  readonly message: string
}

function strangeSources({ audience: own, sources }: z.output<typeof words>): readonly Issue[] {
  const names = sources.map(({ name }) => name)
  return sources.flatMap(({ name, auth }, index) => {
    const issues: Issue[] = []
    const first = names.indexOf(name)
    if (first < index) {
      const message = `sources[${first}] is named ${name} already`
      issues.push({ path: ['sources', index, 'name'], message })
    }
    // Whoever is sent such a token could claim to be the pod, to us.
    if (auth.audience === own) {
      const message = `${own} is the audience by which pods are proven to the daemon; a source needs another`
      issues.push({ path: ['sources', index, 'auth', 'audience'], message })
    }
    return issues
  })
}

export type Words = z.output<typeof schema>

function section<T extends z.ZodRawShape>(
  about: string,
  shape: T,
): z.ZodPrefault<z.ZodObject<T, z.core.$strict>> {
  const inside = Object.keys(shape).join(', ')
  return z
    .strictObject(shape, `expected a map with any of ${inside}`)
    .describe(about)
    .prefault({} as z.input<z.ZodObject<T, z.core.$strict>>)
}
