import { chmodSync, chownSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { NODE_NAME } from './bench-objects.ts'
import type { Image } from './image.ts'
import { BenchKubelet, DRIVER } from './kubelet.ts'
import type { MemoryGroup } from './memory-group.ts'
import { Side } from './side.ts'

/** As in the DaemonSet. */
const DAEMON_UID = 65532
const REGISTERED_WITHIN_MS = 30_000

export interface NodeOptions {
  readonly folder: string
  readonly image: Image
  /** Address of the API server; its token and authority lie where every pod has them. */
  readonly url: string
  readonly groups?: { readonly host: MemoryGroup; readonly daemon: MemoryGroup } | undefined
}

/** Both sides of Latchkey as processes, started as their containers start them, and the kubelet that calls them. */
export class LatchkeyNode {
  readonly kubelet: BenchKubelet
  readonly #options: NodeOptions
  readonly #configFile: string
  #host: Side | undefined
  #daemon: Side | undefined

  /** Starts nothing yet. */
  constructor(options: NodeOptions) {
    const { folder } = options
    this.#options = options
    this.#configFile = join(folder, 'config.yaml')
    mkdirSync(folder)
    chmodSync(folder, 0o755)
    for (const name of ['pods', `plugins/${DRIVER}`, 'plugins_registry']) {
      mkdirSync(join(folder, 'k', name), { recursive: true })
    }
    mkdirSync(join(folder, 'run'))
    chownSync(join(folder, 'run'), DAEMON_UID, DAEMON_UID)
    writeFileSync(this.#configFile, JSON.stringify(this.#config()))
    this.kubelet = new BenchKubelet(join(folder, 'k'))
  }

  /** Both, and waits until kubelet may call. */
  static async start(options: NodeOptions): Promise<LatchkeyNode> {
    const node = new LatchkeyNode(options)
    node.startDaemon()
    node.startHost()
    await node.untilRegistered()
    return node
  }

  get hostPid(): number {
    return this.#host?.pid ?? 0
  }

  get daemonPid(): number {
    return this.#daemon?.pid ?? 0
  }

  startHost(): void {
    this.#host = this.#launch('host', 0, { NODE_NAME, DAEMON_UID: String(DAEMON_UID) })
  }

  startDaemon(): void {
    const { hostname, port } = new URL(this.#options.url)
    const address = { KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: port }
    this.#daemon = this.#launch('daemon', DAEMON_UID, { NODE_NAME, ...address })
  }

  async untilRegistered(): Promise<void> {
    try {
      await this.kubelet.register(AbortSignal.timeout(REGISTERED_WITHIN_MS))
    } catch (thrown) {
      this.#host?.check()
      throw thrown
    }
  }

  /** Leaves its mounts, as a side that is stopped does. */
  async stop(): Promise<void> {
    await this.#host?.stop()
    await this.#daemon?.stop()
  }

  #launch(side: 'host' | 'daemon', uid: number, env: Readonly<Record<string, string>>): Side {
    const { image, folder, groups } = this.#options
    return new Side({
      command: [...image.command, side, '--config', this.#configFile],
      env: { ...image.env, ...env },
      uid,
      logFile: join(folder, `${side}.log`),
      group: groups?.[side],
    })
  }

  #config(): object {
    const { folder } = this.#options
    return {
      kubelet: { root: join(folder, 'k') },
      sockets: { mount: join(folder, 'run', 'mount', 'mount.sock') },
      http: { address: '127.0.0.1', port: 0 },
      // Other processes of this bench may have swap on their machine.
      volumes: { allowSwap: true },
    }
  }
}
