import { chmodSync, mkdirSync, realpathSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { run } from '../../e2e/cluster/command.ts'
import { compile } from '../c/program.ts'
import { BenchObjects } from '../node/bench-objects.ts'
import { startControlPlane, type ControlPlane } from '../node/control-plane.ts'
import { buildImage, type Image } from '../node/image.ts'
import { LatchkeyNode, type NodeOptions } from '../node/latchkey-node.ts'
import type { SealedOrder } from './sealed-process.ts'

/** A control plane, and the objects that pods need in it. */
export interface Cluster {
  readonly plane: ControlPlane
  readonly objects: BenchObjects
  readonly daemonToken: string
}

/** What rows in the seal work with. Whatever takes long to make is made when a row first asks for it. */
export class SealedWorld {
  readonly folder: string
  readonly #order: SealedOrder
  readonly #programs = new Map<string, Promise<string>>()
  #image: Image | undefined
  #cluster: Promise<Cluster> | undefined
  #nodes: LatchkeyNode[] = []
  #made = 0

  constructor(order: SealedOrder, folder: string) {
    this.folder = folder
    this.#order = order
    // The daemon is another user, and has to get to its own folder.
    chmodSync(folder, 0o755)
    mkdirSync(join(folder, 'bin'))
  }

  /** A number of rounds or volumes: the first, or the second for --quick. */
  scale(full: number, quick: number): number {
    return this.#order.isQuick ? quick : full
  }

  /** Path of the program that `c/NAME.c` makes. */
  compile(name: string): Promise<string> {
    const program = this.#programs.get(name) ?? compile(name, join(this.folder, 'bin'))
    this.#programs.set(name, program)
    return program
  }

  image(): Image {
    this.#image ??= buildImage(join(this.folder, 'image'))
    return this.#image
  }

  /** The same one for all rows; each makes pods of its own. */
  cluster(): Promise<Cluster> {
    this.#cluster ??= this.#makeCluster()
    return this.#cluster
  }

  /** A node of its own with Latchkey on it, nothing started. It is stopped when the row is done. */
  async makeNode(groups?: NodeOptions['groups']): Promise<LatchkeyNode> {
    const image = this.image()
    const { plane } = await this.cluster()
    this.#made += 1
    const folder = join(this.folder, `n${this.#made}`)
    const node = new LatchkeyNode({ folder, image, url: plane.url, groups })
    this.#nodes.push(node)
    return node
  }

  /** The same, both sides started and registered. */
  async startNode(groups?: NodeOptions['groups']): Promise<LatchkeyNode> {
    const node = await this.makeNode(groups)
    node.startDaemon()
    node.startHost()
    await node.untilRegistered()
    return node
  }

  /** Stops the nodes of the last row. */
  async clear(): Promise<void> {
    const nodes = this.#nodes
    this.#nodes = []
    await Promise.all(nodes.map((node) => node.stop()))
  }

  async close(): Promise<void> {
    await this.clear()
    const cluster = await this.#cluster?.catch(() => undefined)
    await cluster?.plane.close()
  }

  async #makeCluster(): Promise<Cluster> {
    const { binaries } = this.#order
    if (binaries === undefined) throw new Error('no control plane was built')
    const plane = await startControlPlane(binaries, join(this.folder, 'control-plane'))
    const objects = await BenchObjects.make(plane)
    const daemonToken = await objects.daemonToken()
    await placeServiceAccount(plane.authority, daemonToken)
    return { plane, objects, daemonToken }
  }
}

/** What kubelet gives the daemon's container. In these namespaces only: /run is another one outside. */
async function placeServiceAccount(authority: Buffer, token: string): Promise<void> {
  await run(['mount', '-t', 'tmpfs', 'tmpfs', realpathSync('/var/run')])
  const folder = '/var/run/secrets/kubernetes.io/serviceaccount'
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'ca.crt'), authority)
  writeFileSync(join(folder, 'token'), token)
}
