import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import type { Config, VaultConfig } from '../../src/config/config.ts'
import { loadConfig } from '../../src/config/load.ts'
import { systemClock } from '../../src/core/clock.ts'
import { createKubeClient } from '../../src/daemon/kube/create-client.ts'
import { loadKubeconfig } from '../../src/daemon/kube/kubeconfig.ts'
import { startDaemon, type RunningDaemon } from '../../src/daemon/start-daemon.ts'
import { startHost, type RunningHost } from '../../src/host/start-host.ts'
import { DirectoryStore } from '../../src/host/volume/directory-store.ts'
import { LATCHKEY_DRIVER, type CsiDriver } from '../../src/minicluster/csi-driver.ts'
import { startMinicluster, type Minicluster } from '../../src/minicluster/minicluster.ts'
import { createServingPki } from '../../src/minicluster/pki.ts'
import type { PodRef, StoredPod } from '../../src/minicluster/pod-store.ts'
import { createLogger } from '../../src/observability/log.ts'
import { Database, Kv2, Pki } from '../daemon/sources/vault/double-engines.ts'
import { VaultDouble } from '../daemon/sources/vault/vault-double.ts'
import { until } from '../support/until.ts'
import { checkClusterJwt } from './cluster-jwt.ts'

const pki = createServingPki()

const MINUTE_MS = 60_000

/** With the line that an administrator adds for a Vault. */
export const DRIVER_FOR_VAULT: CsiDriver = {
  ...LATCHKEY_DRIVER,
  tokenRequests: [...LATCHKEY_DRIVER.tokenRequests, { audience: 'vault', expirationSeconds: 600 }],
}

export interface VaultNodeOptions {
  readonly driver?: CsiDriver
  /** Whether Vault is spoken to in clear, and whether its authority is believed. Default: none, in clear. */
  readonly tls?: 'none' | 'by caFile' | 'by nobody'
  /** Default: a Vault. */
  readonly server?: 'vault' | 'openbao'
  /** Of both the source and all that lies in it. */
  readonly namespace?: string
}

/** Both sides over real sockets with a cluster in memory, and a Vault beside it that trusts its tokens. */
export class VaultNode {
  readonly lines: string[] = []
  readonly cluster: Minicluster
  readonly vault: VaultDouble
  readonly kv = new Kv2(systemClock)
  readonly database: Database
  readonly #config: Config
  #daemon: RunningDaemon | undefined
  #host: RunningHost | undefined

  private constructor(cluster: Minicluster, vault: VaultDouble, config: Config) {
    this.cluster = cluster
    this.vault = vault
    this.#config = config
    this.database = new Database(vault.sessions, MINUTE_MS, 10 * MINUTE_MS)
  }

  static async start(t: ExecutionContext, options: VaultNodeOptions = {}): Promise<VaultNode> {
    const { driver = DRIVER_FOR_VAULT, tls = 'none', server = 'vault', namespace } = options
    const { authorityPem, identity } = await pki
    const folder = mkdtempSync('/tmp/lk-')
    const caFile = join(folder, 'vault-ca.pem')
    writeFileSync(caFile, authorityPem)
    const retry = { firstMs: 50, maxMs: 400, factor: 2 }
    const kubelet = { syncIntervalMs: 200, retry, csiDrivers: [driver] }
    const cluster = await startMinicluster({ root: folder, pki: await pki, kubelet })
    const { tokens } = cluster.objects
    const vault = await VaultDouble.start({
      clock: systemClock,
      checkJwt: (jwt) => checkClusterJwt(jwt, tokens),
      server,
      namespace,
      ...(tls === 'none' ? {} : { tls: identity }),
    })
    const config = {
      ...loadConfig({}),
      kubelet: { root: cluster.kubeletRoot },
      sockets: { mount: join(folder, 'm/mount.sock') },
      http: { address: '127.0.0.1', port: 0 },
      refresh: { intervalMs: 300 },
      sources: [sourceAt(vault.address, tls === 'by caFile' ? caFile : undefined, namespace)],
    }
    const node = new VaultNode(cluster, vault, config)
    node.#furnish()
    t.teardown(async () => {
      node.vault.isSealed = false
      if (node.#daemon === undefined) await node.startDaemon()
      await cluster.kubelet.drain()
      await node.#host?.stop()
      await node.stopDaemon()
      await cluster.stop()
      await vault.close()
      rmSync(folder, { recursive: true, force: true })
    })
    await node.startDaemon()
    await node.#startHost()
    return node
  }

  async startDaemon(): Promise<void> {
    const connection = loadKubeconfig(this.cluster.kubeconfigFile)
    const kube = createKubeClient({ connection, clock: systemClock })
    this.#daemon = await startDaemon({ ...this.#common('daemon'), kube, shimUid: ownUid() })
  }

  async stopDaemon(): Promise<void> {
    await this.#daemon?.stop()
    this.#daemon = undefined
  }

  async metrics(): Promise<string> {
    const page = await fetch(`http://127.0.0.1:${this.#daemon?.httpPort ?? 0}/metrics`)
    return page.text()
  }

  /** A pod of service account shop/api with volume `secrets`; each item is a map in flow style. */
  addPod(name: string, ...items: readonly string[]): StoredPod {
    const { objects, nodeName } = this.cluster
    const volumeAttributes = { items: items.map((item) => `- ${item}\n`).join('') }
    const csi = { driver: 'csi.latchkey.dev', readOnly: true, volumeAttributes }
    return objects.createPod({
      namespace: 'shop',
      name,
      serviceAccount: 'api',
      node: nodeName,
      volumes: [{ name: 'secrets', csi }],
    })
  }

  /** One that runs. */
  async runPod(name: string, ...items: readonly string[]): Promise<StoredPod> {
    const pod = this.addPod(name, ...items)
    await this.cluster.kubelet.until(pod, 'Running')
    return pod
  }

  async endPod(pod: PodRef): Promise<void> {
    this.cluster.objects.deletePod(pod)
    await this.cluster.kubelet.until(pod, 'Gone')
  }

  async read(pod: PodRef, path: string): Promise<string> {
    return (await this.cluster.kubelet.readFile(pod, 'secrets', path)).toString()
  }

  async untilReads(pod: PodRef, path: string, text: string): Promise<void> {
    const what = `the pod to read ${text} at ${path}`
    await until(async () => (await this.read(pod, path)) === text, { what })
  }

  /** The first refusal that the pod's events show with these words. */
  async untilRefused(pod: PodRef, words: RegExp): Promise<string> {
    let found: string | undefined
    await until(
      () => {
        found = this.cluster.kubelet
          .events(pod)
          .map(({ message }) => message)
          .find((message) => words.test(message))
        return found !== undefined
      },
      { what: `the pod's events to show ${words.source}` },
    )
    return found ?? ''
  }

  #furnish(): void {
    const { sessions, roles, engines } = this.vault
    this.cluster.objects.createServiceAccount({ namespace: 'shop', name: 'api' })
    engines.set('kv/', this.kv).set('pki/', new Pki(systemClock))
    engines.set('database/', this.database)
    sessions.policies.set('shop', {
      'kv/data/shop/*': ['read'],
      'pki/issue/web': ['update'],
      'database/creds/shop': ['read'],
      'sys/leases/revoke': ['update'],
    })
    const bound = { audience: 'vault', namespace: 'shop', serviceAccount: 'api' }
    const life = { ttlMs: 10 * MINUTE_MS, maxTtlMs: 24 * 60 * MINUTE_MS }
    roles.set('shop', { ...bound, ...life, policies: ['shop'] })
    this.kv.put('shop/api', { token: 'one', user: 'api' })
    this.kv.put('other/api', { token: 'of somebody else' })
  }

  async #startHost(): Promise<void> {
    const now = (): Date => new Date()
    const store = new DirectoryStore({ kubeletRoot: this.cluster.kubeletRoot, now })
    this.#host = await startHost({ ...this.#common('host'), store, kubeletUid: ownUid() })
    await this.cluster.kubelet.untilRegistered('csi.latchkey.dev')
  }

  #common(side: 'host' | 'daemon') {
    const write = (line: string): void => {
      this.lines.push(line)
    }
    return {
      config: this.#config,
      nodeName: this.cluster.nodeName,
      version: '0.0.0-test',
      clock: systemClock,
      log: createLogger({ level: 'debug', side, write }),
    }
  }
}

function sourceAt(
  address: string,
  caFile: string | undefined,
  namespace: string | undefined,
): VaultConfig {
  return {
    kind: 'vault',
    name: 'vault-prod',
    address,
    caFile,
    serverName: undefined,
    namespace,
    auth: { method: 'jwt', mount: 'jwt', role: 'shop', audience: 'vault' },
    limits: { concurrent: 16, perSecond: 50, timeoutMs: 10_000, maxBytes: 1024 * 1024 },
  }
}

function ownUid(): number {
  return process.getuid?.() ?? -1
}
