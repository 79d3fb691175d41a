import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { parseAllDocuments } from 'yaml'
import {
  listOf,
  nameOf,
  renderKustomization,
  renderWithComponent,
  type Node,
} from './kustomization.ts'
import { rightsOf, type Rights } from './rights.ts'

/*
 * Every right that the shipped manifests give, written out. A test that fails here says that somebody is given
 * more, or less, than before: read SECURITY.md and change both on purpose.
 */
const DEPLOY = new URL('../../deploy/kustomize/', import.meta.url).pathname
const SUBJECTS = [{ kind: 'ServiceAccount', name: 'latchkey', namespace: 'latchkey-system' }]

const BASE: Rights = {
  objects: [
    'CSIDriver csi.latchkey.dev',
    'ClusterRole latchkey-daemon',
    'ClusterRoleBinding latchkey-daemon',
    'ConfigMap latchkey-config',
    'DaemonSet latchkey',
    'Namespace latchkey-system',
    'ServiceAccount latchkey',
  ],
  roles: {
    'latchkey-daemon': {
      rules: [
        { apiGroups: ['authentication.k8s.io'], resources: ['tokenreviews'], verbs: ['create'] },
      ],
    },
  },
  bindings: {
    'latchkey-daemon': {
      roleRef: {
        apiGroup: 'rbac.authorization.k8s.io',
        kind: 'ClusterRole',
        name: 'latchkey-daemon',
      },
      subjects: SUBJECTS,
    },
  },
  accounts: { latchkey: { automountServiceAccountToken: false } },
  pod: {
    serviceAccountName: 'latchkey',
    automountServiceAccountToken: false,
    priorityClassName: 'system-node-critical',
    nodeSelector: { 'kubernetes.io/os': 'linux' },
    tolerations: [{ operator: 'Exists' }],
    terminationGracePeriodSeconds: 30,
  },
  containers: {
    host: {
      args: ['host', '--config', '/etc/latchkey/config.yaml'],
      env: [
        { name: 'NODE_NAME', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
        { name: 'POD_UID', valueFrom: { fieldRef: { fieldPath: 'metadata.uid' } } },
        { name: 'DAEMON_UID', value: '65532' },
      ],
      securityContext: {
        privileged: true,
        runAsUser: 0,
        runAsGroup: 0,
        runAsNonRoot: false,
        readOnlyRootFilesystem: true,
      },
      volumeMounts: [
        {
          name: 'pods',
          mountPath: '/var/lib/kubelet/pods',
          mountPropagation: 'Bidirectional',
        },
        { name: 'plugin', mountPath: '/var/lib/kubelet/plugins/csi.latchkey.dev' },
        { name: 'registration', mountPath: '/var/lib/kubelet/plugins_registry' },
        { name: 'cgroup', mountPath: '/run/node/cgroup', readOnly: true },
        { name: 'run', mountPath: '/run/latchkey' },
        { name: 'config', mountPath: '/etc/latchkey', readOnly: true },
      ],
    },
    daemon: {
      args: ['daemon', '--config', '/etc/latchkey/config.yaml'],
      env: [{ name: 'NODE_NAME', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } }],
      securityContext: {
        runAsUser: 65_532,
        runAsGroup: 65_532,
        runAsNonRoot: true,
        readOnlyRootFilesystem: true,
        allowPrivilegeEscalation: false,
        capabilities: { drop: ['ALL'] },
        seccompProfile: { type: 'RuntimeDefault' },
      },
      ports: [{ name: 'http', containerPort: 9808 }],
      volumeMounts: [
        { name: 'run', mountPath: '/run/latchkey' },
        {
          name: 'token',
          mountPath: '/var/run/secrets/kubernetes.io/serviceaccount',
          readOnly: true,
        },
        { name: 'config', mountPath: '/etc/latchkey', readOnly: true },
      ],
    },
  },
  volumes: {
    pods: { hostPath: { path: '/var/lib/kubelet/pods', type: 'Directory' } },
    plugin: {
      hostPath: { path: '/var/lib/kubelet/plugins/csi.latchkey.dev', type: 'DirectoryOrCreate' },
    },
    registration: { hostPath: { path: '/var/lib/kubelet/plugins_registry', type: 'Directory' } },
    cgroup: { hostPath: { path: '/sys/fs/cgroup', type: 'Directory' } },
    run: { emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } },
    config: { configMap: { name: 'latchkey-config' } },
    token: {
      projected: {
        sources: [
          { serviceAccountToken: { path: 'token', expirationSeconds: 3607 } },
          {
            configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] },
          },
          {
            downwardAPI: {
              items: [{ path: 'namespace', fieldRef: { fieldPath: 'metadata.namespace' } }],
            },
          },
        ],
      },
    },
  },
}

const WITH_EVENTS: Rights = {
  ...BASE,
  objects: [
    ...BASE.objects,
    'ClusterRole latchkey-events',
    'ClusterRoleBinding latchkey-events',
  ].sort(),
  roles: {
    ...BASE.roles,
    'latchkey-events': { rules: [{ apiGroups: [''], resources: ['events'], verbs: ['create'] }] },
  },
  bindings: {
    ...BASE.bindings,
    'latchkey-events': {
      roleRef: {
        apiGroup: 'rbac.authorization.k8s.io',
        kind: 'ClusterRole',
        name: 'latchkey-events',
      },
      subjects: SUBJECTS,
    },
  },
}

/** By folder below deploy/kustomize/. */
const EXPECTED: Readonly<Record<string, Rights>> = {
  base: BASE,
  'components/events': WITH_EVENTS,
  'overlays/kubernetes-1.34-or-older': BASE,
  'overlays/outside-sources-only': BASE,
}

function render(folder: string): readonly Node[] {
  const path = join(DEPLOY, folder)
  if (!folder.startsWith('components/')) return renderKustomization(path)
  return renderWithComponent(join(DEPLOY, 'base'), path)
}

test('every kustomization that is shipped has its rights written out here', (t) => {
  const found = readdirSync(DEPLOY, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('kustomization.yaml'))
    .map((name) => name.replace('/kustomization.yaml', ''))
  t.deepEqual(found.toSorted(), Object.keys(EXPECTED).toSorted())
})

for (const [folder, expected] of Object.entries(EXPECTED)) {
  test(`${folder} gives no other right than those written out`, (t) => {
    t.deepEqual(rightsOf(render(folder)), expected)
  })
}

test('the host container is handed no token, and nothing of the API server’s', (t) => {
  for (const folder of Object.keys(EXPECTED)) {
    const { pod, containers, volumes } = rightsOf(render(folder))
    t.is(pod['automountServiceAccountToken'], false)
    const host = containers['host'] as { readonly volumeMounts: readonly { name: string }[] }
    for (const { name } of host.volumeMounts) {
      t.notRegex(JSON.stringify(volumes[name]), /serviceAccountToken|secret|projected|root-ca/)
    }
  }
})

test('the user whose socket the host side trusts is the one that the daemon runs as', (t) => {
  const { containers } = rightsOf(render('base'))
  const { env } = containers['host'] as { readonly env: readonly Node[] }
  const { securityContext } = containers['daemon'] as { readonly securityContext: Node }
  const named = env.find(({ name }) => name === 'DAEMON_UID')
  t.is(named?.['value'], String(securityContext['runAsUser']))
})

test('an added right, capability, folder or mount is seen', (t) => {
  const rendered = render('base')
  const widened = (kind: string, change: (object: Node) => void): Rights => {
    const copy = structuredClone(rendered)
    const found = copy.find((object) => object['kind'] === kind)
    if (found !== undefined) change(found)
    return rightsOf(copy)
  }
  const containerOf = (object: Node, index: number): Record<string, unknown> => {
    const { template } = object['spec'] as { template: { spec: { containers: unknown[] } } }
    return template.spec.containers[index] as Record<string, unknown>
  }
  const secrets = widened('ClusterRole', (role) => {
    ;(listOf(role['rules'])[0] as { resources: string[] }).resources.push('secrets')
  })
  const capability = widened('DaemonSet', (set) => {
    const context = containerOf(set, 1)['securityContext'] as Record<string, object>
    context['capabilities'] = { drop: ['ALL'], add: ['NET_ADMIN'] }
  })
  const unconfined = widened('DaemonSet', (set) => {
    delete (containerOf(set, 1)['securityContext'] as Record<string, unknown>)['seccompProfile']
  })
  const token = widened('DaemonSet', (set) => {
    ;(containerOf(set, 0)['volumeMounts'] as object[]).push({ name: 'token', mountPath: '/t' })
  })
  for (const rights of [secrets, capability, unconfined, token]) t.notDeepEqual(rights, BASE)
})

function kubectl(...args: readonly string[]): string | undefined {
  try {
    return execFileSync('kubectl', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  } catch {
    return undefined
  }
}

const kustomizes = kubectl('kustomize', '--help') !== undefined
const oracle = kustomizes ? test : test.skip

oracle(`kubectl renders the same${kustomizes ? '' : ' (needs kubectl)'}`, (t) => {
  for (const folder of Object.keys(EXPECTED)) {
    if (folder.startsWith('components/')) continue
    const text = kubectl('kustomize', join(DEPLOY, folder)) ?? ''
    const theirs = parseAllDocuments(text).map((document) => document.toJS() as Node)
    const sorted = (objects: readonly Node[]): readonly Node[] =>
      objects.toSorted((a, b) => keyOf(a).localeCompare(keyOf(b)))
    t.deepEqual(sorted(render(folder)), sorted(theirs), folder)
  }
})

function keyOf(object: Node): string {
  return `${String(object['kind'])} ${nameOf(object)}`
}
