import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import { cached, cacheKey } from './cache.ts'
import { capture, run } from './command.ts'
import { findProgram } from './packages.ts'

export const KUBERNETES_VERSION = '1.37.1'
const OLDEST_GO = [1, 26] as const
const BUILD_TIMEOUT_MS = 45 * 60_000

/** Paths of the programs that a node runs and Debian does not have new enough. */
export interface Binaries {
  readonly kubeApiserver: string
  readonly kubeControllerManager: string
  readonly kubeScheduler: string
  readonly kubelet: string
  readonly kubectl: string
  readonly etcd: string
  readonly pause: string
  readonly vault: string
  /** Holds the plugins that this Vault has not built in, and nothing else. */
  readonly vaultPluginFolder: string
}

interface GoModule {
  readonly name: string
  readonly packages: readonly string[]
  readonly ldflags: string
  readonly tags?: string
}

const STRIP = '-s -w'

const KUBERNETES: GoModule = {
  name: 'kubernetes',
  packages: [
    'kube-apiserver',
    'kube-controller-manager',
    'kube-scheduler',
    'kubelet',
    'kubectl',
  ].map((command) => `k8s.io/kubernetes/cmd/${command}`),
  ldflags: [STRIP, ...['component-base', 'client-go/pkg'].flatMap(versionFlags)].join(' '),
}
// Debian's etcd 3.4 ends a watch without resourceVersion at once with an ERROR event: it lacks
// progress requests, which this API server takes for granted.
const ETCD: GoModule = {
  name: 'etcd',
  packages: ['go.etcd.io/etcd/server/v3'],
  ldflags: STRIP,
}
// With every plugin of Vault's built in it takes three times as long to build, and as much memory to run.
// The two plugins that are needed beyond those of the small build are programs of their own.
const VAULT_PLUGINS = ['vault-plugin-auth-kubernetes', 'postgresql-database-plugin'] as const
const VAULT: GoModule = {
  name: 'vault',
  packages: [
    'github.com/hashicorp/vault',
    'github.com/hashicorp/vault-plugin-auth-kubernetes/cmd/vault-plugin-auth-kubernetes',
    'github.com/hashicorp/vault/plugins/database/postgresql/postgresql-database-plugin',
  ],
  ldflags: STRIP,
  tags: 'minimal',
}
const PAUSE: GoModule = { name: 'pause', packages: ['latchkey.dev/e2e/pause'], ldflags: STRIP }

/** Builds what the cache does not hold: about fifteen minutes on two cores with nothing at all there. */
export async function ensureBinaries(
  report: (line: string) => void,
  signal?: AbortSignal,
): Promise<Binaries> {
  const go = await findGo()
  const [pause, etcd, vault, kubernetes] = [
    await build(go, PAUSE, report, signal),
    await build(go, ETCD, report, signal),
    await build(go, VAULT, report, signal),
    await build(go, KUBERNETES, report, signal),
  ]
  return {
    kubeApiserver: join(kubernetes, 'kube-apiserver'),
    kubeControllerManager: join(kubernetes, 'kube-controller-manager'),
    kubeScheduler: join(kubernetes, 'kube-scheduler'),
    kubelet: join(kubernetes, 'kubelet'),
    kubectl: join(kubernetes, 'kubectl'),
    etcd: join(etcd, 'etcd'),
    pause: join(pause, 'pause'),
    vault: join(vault, 'vault'),
    vaultPluginFolder: join(vault, 'plugins'),
  }
}

async function build(
  go: string,
  module: GoModule,
  report: (line: string) => void,
  signal: AbortSignal | undefined,
): Promise<string> {
  const source = join(import.meta.dirname, 'go', module.name)
  const ingredients = ['go.mod', 'go.sum', 'main.go']
    .map((file) => join(source, file))
    .filter((file) => existsSync(file))
    .map((file) => readFileSync(file))
  const key = cacheKey(
    process.arch,
    module.ldflags,
    ...(module.tags === undefined ? [] : [module.tags]),
    ...module.packages,
    ...ingredients,
  )
  return cached(module.name, key, async (folder) => {
    report(`building ${module.name} (kept in the cache for the next run)`)
    await run(
      [
        go,
        'build',
        '-trimpath',
        ...(module.tags === undefined ? [] : ['-tags', module.tags]),
        '-ldflags',
        module.ldflags,
        '-o',
        `${folder}/`,
        ...module.packages,
      ],
      {
        cwd: source,
        // go.sum decides what is built: nothing may fetch another toolchain or change go.mod.
        env: { GOTOOLCHAIN: 'local', GOFLAGS: '-mod=readonly', CGO_ENABLED: '0', GOWORK: 'off' },
        timeoutMs: BUILD_TIMEOUT_MS,
        ...(signal && { signal }),
      },
    )
    // The server's main package lies in a folder named after its major version.
    if (module === ETCD && !existsSync(join(folder, 'etcd'))) {
      await run(['mv', join(folder, 'server'), join(folder, 'etcd')])
    }
    // Vault takes every file of its folder of plugins for one.
    if (module === VAULT) {
      await run(['mkdir', join(folder, 'plugins')])
      const programs = VAULT_PLUGINS.map((name) => join(folder, name))
      await run(['mv', ...programs, join(folder, 'plugins')])
    }
  })
}

async function findGo(): Promise<string> {
  const needed = `${OLDEST_GO.join('.')} or newer`
  const go = findProgram('go') ?? findProgram('/usr/local/go/bin/go')
  if (go === undefined) {
    throw new Error(`needs Go ${needed} to build Kubernetes: https://go.dev/dl/`)
  }
  const version = await capture([go, 'env', 'GOVERSION'], { env: { GOTOOLCHAIN: 'local' } })
  const [, major = '0', minor = '0'] = /^go(\d+)\.(\d+)/.exec(version) ?? []
  const [oldestMajor, oldestMinor] = OLDEST_GO
  const age = Number(major) - oldestMajor || Number(minor) - oldestMinor
  if (age < 0) throw new Error(`needs Go ${needed}, ${go} is ${version}`)
  return go
}

/** A build without these calls itself v0.0.0, and kube-apiserver refuses to emulate that. */
function versionFlags(owner: string): string[] {
  const [major = '', minor = ''] = KUBERNETES_VERSION.split('.')
  const values = {
    gitVersion: `v${KUBERNETES_VERSION}`,
    gitMajor: major,
    gitMinor: minor,
    gitTreeState: 'clean',
    gitCommit: 'module',
    buildDate: '1970-01-01T00:00:00Z',
  }
  return Object.entries(values).map(
    ([name, value]) => `-X k8s.io/${owner}/version.${name}=${value}`,
  )
}
