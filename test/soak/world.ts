import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { volumeIdOf } from '../../src/core/volume-id.ts'
import { readMounts } from '../../src/host/volume/mountinfo.ts'
import { startMinicluster, type Minicluster } from '../../src/minicluster/minicluster.ts'
import type { ServingPki } from '../../src/minicluster/pki.ts'
import type { StoredPod } from '../../src/minicluster/pod-store.ts'
import { unmountLazily } from '../../src/syscalls/mount-api.ts'
import type { SideName } from './bundle.ts'
import type { Finding } from './findings.ts'
import { filesOf } from './generation-files.ts'
import { inspectNode, type Expected } from './inspection.ts'
import { waitPatiently } from './patience.ts'
import type { SideProcess } from './side-process.ts'
import type { CrashPlan } from './sides/crash-points.ts'
import { LEASING_DRIVER, SoakVault } from './soak-vault.ts'
import type { Spares } from './spares.ts'
import { readVolume, type FilesOf } from './volume-reading.ts'

export interface WorldParts {
  /** A folder of its own, with a short path: sockets will lie in it. */
  readonly folder: string
  readonly spares: Spares
  readonly pki: ServingPki
  /** Pods have users of a Vault in place of Secrets, each its own, under sessions that live so long; undefined: no Vault. */
  readonly sessionTtlMs?: number | undefined
}

/** A pod with one volume, and what is known of it from outside. */
export interface Member {
  readonly pod: StoredPod
  readonly secret: string
  readonly targetPath: string
  /** kubelet was told OK: from here on the files are there, always. */
  isPromised: boolean
  isLeaving: boolean
  /** The newest generation that was seen in it. */
  shown: number
  /** The host process that has its tokens. */
  tokensOf: SideProcess | undefined
  /** When kubelet last came by and was answered. */
  visitedAtMs: number
  /** The daemon process that is known to hold its session. */
  sessionOf: SideProcess | undefined
}

export const SIDES = ['host', 'daemon'] as const

const DRIVER = 'csi.latchkey.dev'
const NAMESPACE = 'shop'
const ACCOUNT = 'api'
const VOLUME = 'db'
/** After this a node has to be as if nothing had happened. */
const CONVERGENCE_MS = 10_000
const MAX_FILES = 50
/** Lines of what ended unasked: an error and where it was thrown. */
const LAST_WORDS = 25
/** For what only a machine with far too much to do keeps from happening. */
const PATIENCE_MS = 60_000
/** Old generations go soon, so that every cycle sees them gone. */
const LINGER = '50ms'
/** kubelet comes by itself in an hour: whatever heals sooner has healed without it. */
const SYNC_INTERVAL_MS = 3_600_000

/**
 * A node with both sides as processes of their own, and everything around them in this process: API
 * server, kubelet, pods that read their files all the time.
 */
export class World {
  readonly cluster: Minicluster
  readonly members = new Map<string, Member>()
  readonly vault: SoakVault | undefined
  readonly #parts: WorldParts
  readonly #configFile: string
  readonly #secrets = new Map<string, number>()
  readonly #running = new Map<SideName, SideProcess>()
  /** What a pod saw that no pod may ever see. */
  readonly #seen = new Map<string, Finding>()
  readonly #stopped = new AbortController()
  readonly #files = new Map<string, ReturnType<FilesOf>>()
  readonly #buried = new WeakSet<SideProcess>()
  #podNumber = 0
  #kills = 0

  private constructor(cluster: Minicluster, vault: SoakVault | undefined, parts: WorldParts) {
    this.cluster = cluster
    this.vault = vault
    this.#parts = parts
    this.#configFile = join(parts.folder, 'config.json')
    mkdirSync(join(parts.folder, 'm'), { mode: 0o700 })
    writeFileSync(this.#configFile, JSON.stringify(this.#config()))
    cluster.objects.createServiceAccount({ namespace: NAMESPACE, name: ACCOUNT })
    const grant = {
      namespace: NAMESPACE,
      serviceAccount: ACCOUNT,
      verbs: ['get', 'watch'],
    } as const
    cluster.objects.grant(grant)
    cluster.objects.pods.subscribe(() => {
      this.#followPods()
    })
  }

  /** Both sides run, no pod does. */
  static async start(parts: WorldParts): Promise<World> {
    const { folder, pki, sessionTtlMs } = parts
    mkdirSync(folder, { mode: 0o700 })
    const kubelet = {
      syncIntervalMs: SYNC_INTERVAL_MS,
      retry: { firstMs: 50, maxMs: 400, factor: 2 },
      ...(sessionTtlMs === undefined ? {} : { csiDrivers: [LEASING_DRIVER] }),
    }
    const cluster = await startMinicluster({ root: folder, pki, kubelet })
    const vault =
      sessionTtlMs === undefined ? undefined : await SoakVault.start(cluster, sessionTtlMs)
    const world = new World(cluster, vault, parts)
    await Promise.all(SIDES.map((side) => world.start(side)))
    await world.cluster.kubelet.untilRegistered(DRIVER, true, PATIENCE_MS)
    return world
  }

  /** Processes killed so far. */
  get kills(): number {
    return this.#kills
  }

  get secrets(): readonly string[] {
    return [...this.#secrets.keys()]
  }

  /** Those that are to stay. */
  get living(): readonly Member[] {
    return [...this.members.values()].filter(({ isLeaving }) => !isLeaving)
  }

  /** Volumes that are mounted now, whoever wants them. */
  get mounted(): number {
    const { folder } = this.#parts
    return readMounts().filter(({ mountPoint }) => mountPoint.startsWith(`${folder}/`)).length
  }

  process(side: SideName): SideProcess {
    const found = this.#running.get(side)
    if (found === undefined) throw new Error(`the ${side} was never started`)
    return found
  }

  /** Answers how many volumes it adopted; undefined where it died in the attempt. */
  async start(side: SideName, planFor?: (pid: number) => CrashPlan): Promise<number | undefined> {
    const next = this.#parts.spares.take(side)
    this.#running.set(side, next)
    const plan = planFor?.(next.pid)
    if (plan !== undefined) this.#expectDeaths(plan)
    return next.start(this.#configFile, plan)
  }

  /** kill -9, one right after the other; resolves when they are gone. */
  async kill(...sides: readonly SideName[]): Promise<void> {
    for (const side of sides) this.process(side).kill()
    await Promise.all(sides.map((side) => this.process(side).exited))
  }

  /** The pids that a plan names die sooner or later, and are meant to. */
  #expectDeaths({ pids }: CrashPlan): void {
    for (const side of this.#running.values()) if (pids.includes(side.pid)) side.expectDeath()
  }

  async arm(side: SideName, plan: CrashPlan): Promise<void> {
    this.#expectDeaths(plan)
    await this.process(side).arm(plan)
  }

  /** Waits until those that were killed are gone, looks at the pods' files, and tells who is dead. */
  async bury(): Promise<readonly SideName[]> {
    const dead = SIDES.filter((side) => this.process(side).isDead)
    for (const side of dead) {
      const process = this.process(side)
      await process.exited
      if (this.#buried.has(process)) continue
      this.#buried.add(process)
      this.#kills += 1
      if (side === 'host') this.vault?.noteHostDeath()
      this.#blame(process)
    }
    this.look()
    return dead
  }

  addPod(secret: string, fsGroup?: number): Member {
    const { objects, nodeName, kubelet } = this.cluster
    if (this.vault === undefined && !this.#secrets.has(secret)) this.change(secret)
    this.#podNumber += 1
    const volumeAttributes = this.vault?.attributesOf(secret) ?? { secret }
    const csi = { driver: DRIVER, readOnly: true, volumeAttributes }
    const spec = {
      namespace: NAMESPACE,
      name: `pod-${this.#podNumber}`,
      serviceAccount: ACCOUNT,
      node: nodeName,
      volumes: [{ name: VOLUME, csi }],
      ...(fsGroup === undefined ? {} : { fsGroup }),
    }
    const pod = objects.createPod(spec)
    const member = {
      pod,
      secret,
      targetPath: kubelet.targetPath(pod, VOLUME),
      isPromised: false,
      isLeaving: false,
      shown: 0,
      tokensOf: undefined,
      visitedAtMs: Date.now(),
      sessionOf: undefined,
    }
    this.members.set(pod.uid, member)
    return member
  }

  deletePod(member: Member): void {
    member.isLeaving = true
    this.cluster.objects.deletePod(member.pod)
  }

  /** The Secret's next generation; what is leased changes by itself. */
  change(secret: string): number {
    if (this.vault !== undefined) return 0
    const generation = (this.#secrets.get(secret) ?? 0) + 1
    this.#secrets.set(secret, generation)
    const { objects } = this.cluster
    const spec = { namespace: NAMESPACE, name: secret, data: this.#filesOf(secret)(generation) }
    if (generation === 1) objects.createSecret(spec)
    else objects.updateSecret(spec)
    return generation
  }

  /** kubelet publishes every volume again and is answered. */
  async republish(members = this.living): Promise<void> {
    const { kubelet } = this.cluster
    await kubelet.untilRegistered(DRIVER, true, PATIENCE_MS)
    await Promise.all(
      members.map(async ({ pod }) => {
        await kubelet.untilIdle(pod, PATIENCE_MS)
        // Its own patience is ten seconds.
        await kubelet.sync(pod).catch(() => kubelet.untilIdle(pod, PATIENCE_MS))
      }),
    )
    const host = this.process('host')
    if (host.isDead) return
    for (const member of members) Object.assign(member, { tokensOf: host, visitedAtMs: Date.now() })
  }

  /** Reads every volume that was promised, as its pod would; what it must not see is remembered. */
  look(): void {
    for (const member of this.members.values()) this.#look(member)
  }

  /** Reports whether all is as it ought to be. */
  get isInOrder(): boolean {
    return this.#inspect().next().done === true
  }

  /** Everything that is not as it ought to be, were all calm now. */
  inspect(): readonly Finding[] {
    return [...this.#inspect()]
  }

  *#inspect(): Generator<Finding, void> {
    const { folder } = this.#parts
    const { kubeletRoot, kubeconfigFile } = this.cluster
    yield* this.#pending()
    this.look()
    yield* this.#seen.values()
    yield* this.vault?.strays(new Set(this.living.map(({ pod }) => pod.uid))) ?? []
    yield* inspectNode({
      folder,
      kubeletRoot,
      own: [kubeconfigFile, this.#configFile],
      sockets: [
        join(folder, 'm', 'mount.sock'),
        join(kubeletRoot, 'plugins', DRIVER, 'csi.sock'),
        join(kubeletRoot, 'plugins_registry', `${DRIVER}-reg.sock`),
      ],
      expected: this.living.map((member) => this.#expected(member)),
    })
  }

  /**
   * Waits until nothing is out of order, or until the time for that is over; answers what is. kubelet comes
   * by only for volumes whose tokens and session are both gone with the processes that had them.
   */
  async converge(): Promise<readonly Finding[]> {
    const shownBefore = new Map(this.living.map((member) => [member, member.shown]))
    // Where it fails, the node says what is missing.
    void this.republish(this.living.filter((member) => this.#needsKubelet(member))).catch(
      () => undefined,
    )
    const isCalm = await this.#wait(() => this.#seen.size > 0 || this.isInOrder)
    // A second look would meet what a Vault's leases bring by themselves: the next swap, in the middle of it.
    const findings = isCalm && this.#seen.size === 0 ? [] : this.inspect()
    if (findings.length > 0) return findings
    // What has just arrived has proved the stream; equal content proves nothing.
    for (const [member, shown] of shownBefore) {
      if (member.shown > shown) member.sessionOf = this.process('daemon')
    }
    return findings
  }

  /** Throws: where it takes longer than a node may take to converge. */
  async until(isSo: () => boolean, what: string): Promise<void> {
    if (!(await this.#wait(isSo))) throw new Error(`waited in vain for ${what}`)
  }

  #wait(isSo: () => boolean): Promise<boolean> {
    const pids = SIDES.map((side) => this.process(side).pid)
    return waitPatiently(isSo, CONVERGENCE_MS, [process.pid, ...pids])
  }

  #needsKubelet(member: Member): boolean {
    const isHeard = member.tokensOf === this.process('host')
    const isKept = member.sessionOf === this.process('daemon')
    return member.isPromised && !isHeard && !isKept
  }

  /** Pods read while everything else goes on. */
  async readAlong(everyMs: number): Promise<void> {
    const { signal } = this.#stopped
    while (!signal.aborted) {
      this.look()
      await new Promise((resolve) => setTimeout(resolve, everyMs))
    }
  }

  /** The end of both sides' logs, for whoever has to find out what went wrong. */
  logs(): readonly string[] {
    return [...this.#running.values()].flatMap(({ side, pid, lines }) => [
      `--- ${side} ${pid}`,
      ...lines,
    ])
  }

  /** Takes everything away, whatever state it is in. */
  async stop(): Promise<void> {
    this.#stopped.abort()
    const { folder } = this.#parts
    const { cluster } = this
    await cluster.api.up()
    const isWell = SIDES.every((side) => !this.process(side).isDead)
    if (isWell) await cluster.kubelet.drain().catch(() => undefined)
    for (const side of this.#running.values()) side.kill()
    await Promise.all([...this.#running.values()].map(({ exited }) => exited))
    unmountBelow(folder)
    // Without it kubelet would wait for the driver.
    rmSync(join(cluster.kubeletRoot, 'plugins_registry'), { recursive: true, force: true })
    await cluster.kubelet.untilRegistered(DRIVER, false).catch(() => undefined)
    await cluster.stop()
    await this.vault?.stop()
    rmSync(folder, { recursive: true, force: true })
  }

  #followPods(): void {
    for (const [uid, member] of this.members) {
      const stored = this.cluster.objects.pods.get(uid)
      if (stored === undefined && member.isLeaving) this.members.delete(uid)
      if (stored?.phase !== 'Running' || member.isPromised || member.isLeaving) continue
      // In the very moment in which kubelet takes the driver's OK for an answer.
      member.isPromised = true
      member.tokensOf = this.process('host')
      this.#look(member)
    }
  }

  #look(member: Member): void {
    if (!member.isPromised || member.isLeaving) return
    const reading = readVolume(member.targetPath, this.#filesOf(member.secret))
    const { name, uid } = member.pod
    if (reading.kind !== 'whole') {
      this.#seen.set(uid, { kind: reading.kind, what: `pod ${name}: ${reading.why}` })
      return
    }
    if (reading.generation < member.shown) {
      const what = `pod ${name}: went back from generation ${member.shown} to ${reading.generation}`
      this.#seen.set(uid, { kind: 'lost', what })
    }
    member.shown = reading.generation
    this.vault?.noteShown(uid, reading.generation)
  }

  #pending(): readonly Finding[] {
    const { kubelet } = this.cluster
    return [...this.members.values()].flatMap(({ pod, isLeaving }): readonly Finding[] => {
      const state = kubelet.state(pod)
      if (state === (isLeaving ? 'Gone' : 'Running')) return []
      return [{ kind: 'lost', what: `pod ${pod.name} is ${state}` }]
    })
  }

  #expected({ pod, secret, targetPath, shown }: Member): Expected {
    // Of a Vault it is right to have whichever user lives.
    const ofVault = this.vault?.isUser(shown) === true ? shown : 0
    const generation = this.vault === undefined ? (this.#secrets.get(secret) ?? 0) : ofVault
    const filesOf = this.#filesOf(secret)
    return { volumeId: volumeIdOf(pod.uid, VOLUME), targetPath, generation, filesOf }
  }

  /** Made once each, for every reader compares with them. */
  #filesOf(secret: string): FilesOf {
    const whose = this.vault === undefined ? secret : 'user'
    return (generation) => {
      const name = `${whose} ${generation}`
      const files = this.#files.get(name) ?? filesOf(whose, generation)
      if (this.#files.size > MAX_FILES) this.#files.clear()
      this.#files.set(name, files)
      return files
    }
  }

  #blame(process: SideProcess): void {
    if (!process.diedByItself) return
    const lastWords = process.lines.slice(-LAST_WORDS).join(' | ')
    const what = `the ${process.side} (${process.pid}) ended by itself: ${lastWords}`
    this.#seen.set(String(process.pid), { kind: 'lost', what })
  }

  #config(): object {
    const { folder } = this.#parts
    const { nodeName, kubeletRoot, kubeconfigFile } = this.cluster
    return {
      node: nodeName,
      kubelet: { root: kubeletRoot },
      sockets: { mount: join(folder, 'm', 'mount.sock') },
      volumes: { allowSwap: true, oldGenerationLinger: LINGER },
      kubernetes: { kubeconfig: kubeconfigFile },
      http: { address: '127.0.0.1', port: 0 },
      log: { level: 'debug' },
      ...(this.vault === undefined ? {} : { sources: [this.vault.source] }),
    }
  }
}

/** Takes away what a side left mounted; nothing else could remove the folder. */
export function unmountBelow(folder: string): void {
  for (const { mountPoint } of readMounts().toReversed()) {
    if (mountPoint.startsWith(`${folder}/`)) unmountLazily(mountPoint)
  }
}
