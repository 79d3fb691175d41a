import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, openSync } from 'node:fs'
import { join } from 'node:path'
import type { ServerDuplexStream } from '@grpc/grpc-js'
import test, { type ExecutionContext } from 'ava'
import { systemClock } from '../../src/core/clock.ts'
import { contentsDigest } from '../../src/core/contents-digest.ts'
import { Limiter } from '../../src/core/limiter.ts'
import { SecretBytes } from '../../src/core/secret-bytes.ts'
import { unmountLazily } from '../../src/syscalls/mount-api.ts'
import type { DaemonMessage } from '../../src/wire/gen/latchkey/mount/v1/DaemonMessage.ts'
import type { ShimMessage__Output } from '../../src/wire/gen/latchkey/mount/v1/ShimMessage.ts'
import { MessageStream } from '../../src/wire/message-stream.ts'
import { loadMount } from '../../src/wire/protos.ts'
import { UnixServer } from '../../src/wire/unix-server.ts'
import { createCaller } from '../support/crowded-node.ts'
import { memoryLimitOf, nodeFlags } from '../support/deployment.ts'
import { MemoryCgroup, whyNoMemoryCgroup } from '../support/memory-cgroup.ts'
import { mountTest } from '../support/mount-namespace.ts'
import { tempDir } from '../support/temp-dir.ts'
import { mountsBelow } from '../support/tmpfs-world.ts'
import { until } from '../support/until.ts'
import type { LimitedHost } from './limited-host.ts'

const MIB = 1024 ** 2
const PROGRAM = join(import.meta.dirname, 'limited-host.ts')
const NAMESPACES = ['loud', 'calm', 'late', 'last']
/** As many pods as a node has, in all of these namespaces. */
const VOLUMES = 110

type Stream = MessageStream<ShimMessage__Output, DaemonMessage>

function generation(number: number): DaemonMessage {
  const data = Buffer.alloc(4 * MIB, String(number))
  const file = { path: 'big', data, mode: 0o644, ownerUid: 0 }
  const digest = contentsDigest([{ ...file, data: SecretBytes.copyOf(data) }])
  return { contents: { generation: number, files: [file], digest } }
}

/** What the daemon's own budget lets be on its way at once: limits.nodeBytes, of volumes that change. */
const AT_ONCE = 16

/** A daemon that knows no limits but its own memory's: every volume gets 4 MiB, and 4 others when it is told so. */
async function greedyDaemon(t: ExecutionContext, path: string) {
  const streams = new Set<Stream>()
  const answers = { committed: 0, failed: [] as string[] }
  const slots = new Limiter('volumes', AT_ONCE, VOLUMES)
  const waiting = new Map<Stream, () => void>()
  const send = async (stream: Stream, number: number): Promise<void> => {
    const leave = await slots.enter(stream.closed)
    waiting.set(stream, leave)
    await stream.send(generation(number))
  }
  const Mount = (raw: ServerDuplexStream<ShimMessage__Output, DaemonMessage>): void => {
    const stream = new MessageStream(raw)
    streams.add(stream)
    void (async () => {
      for await (const { open, committed, failed } of stream.receive()) {
        if (open) void send(stream, 1).catch(() => undefined)
        if (committed ?? failed) waiting.get(stream)?.()
        if (committed) answers.committed += 1
        if (failed) answers.failed.push(`${failed.reason}: ${failed.message}`)
      }
    })()
      .catch(() => undefined)
      .finally(() => {
        waiting.get(stream)?.()
        streams.delete(stream)
      })
  }
  const server = await UnixServer.listen({
    path,
    services: [{ definition: loadMount().MountService.service, handlers: { Mount } }],
    maxMessageBytes: 8 * MIB,
    maxConnections: 16,
    ownsFolder: true,
    admits: () => true,
    clock: systemClock,
  })
  t.teardown(() => server.close(0))
  return { streams, answers, send }
}

async function startLimited(t: ExecutionContext, limitBytes: number, tmpfsBytes?: number) {
  const kubeletRoot = tempDir(t)
  mkdirSync(join(kubeletRoot, 'plugins_registry'))
  const mountSocket = join(kubeletRoot, 'm/mount.sock')
  const daemon = await greedyDaemon(t, mountSocket)
  const cgroup = MemoryCgroup.create(`latchkey-host-${process.pid}`, limitBytes)
  const options: LimitedHost = {
    ...{ kubeletRoot, mountSocket },
    ...(tmpfsBytes === undefined ? {} : { tmpfsBytes }),
  }
  const enter = 'echo $$ > "$0" && exec "$@"'
  const node = [process.execPath, ...nodeFlags(), PROGRAM, JSON.stringify(options)]
  const host = spawn('/bin/sh', ['-c', enter, join(cgroup.folder, 'cgroup.procs'), ...node], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  t.teardown(async () => {
    if (host.exitCode === null && host.signalCode === null) {
      const gone = once(host, 'exit')
      host.kill('SIGKILL')
      await gone
    }
    for (const { mountPoint } of mountsBelow(kubeletRoot)) unmountLazily(mountPoint)
    await until(() => removed(cgroup), { what: 'the cgroup to be empty' })
  })
  await once(host, 'message')
  const caller = createCaller(kubeletRoot, (index) => NAMESPACES[index % NAMESPACES.length] ?? '')
  const publish = async (index: number): Promise<string> => {
    try {
      await caller.publish(index)
      return 'OK'
    } catch (thrown) {
      return thrown instanceof Error ? thrown.message : String(thrown)
    }
  }
  return { kubeletRoot, daemon, cgroup, host, caller, publish }
}

function removed(cgroup: MemoryCgroup): boolean {
  try {
    cgroup.remove()
    return true
  } catch {
    return false
  }
}

const why = whyNoMemoryCgroup()

/** Skipped by name where this machine has no memory cgroup for us. */
function limitedTest(title: string, implementation: (t: ExecutionContext) => Promise<void>): void {
  if (why === undefined) mountTest(title, implementation)
  else test.skip(`${title} (needs a memory cgroup: ${why})`, implementation)
}

limitedTest(
  'volumes without end, all changing: the host side stays within its container’s memory, and refuses by name',
  async (t) => {
    t.timeout(240_000)
    const limitBytes = memoryLimitOf('host')
    const on = await startLimited(t, limitBytes)
    const all = Array.from({ length: VOLUMES }, (_, index) => index)
    const ends = await Promise.all(all.map((index) => on.publish(index)))
    const served = ends.filter((end) => end === 'OK').length
    const refused = ends.filter((end) => end !== 'OK')
    t.true(served >= 20, `${served} served`)
    t.true(refused.length > 0)
    for (const end of refused) t.regex(end, /^Overloaded: .*limits\.tmpfsBytes/)
    const afterPublishes = on.cgroup.peakBytes

    // A pod that keeps an old file open keeps its pages.
    const held = mountsBelow(on.kubeletRoot).map(({ mountPoint }) =>
      openSync(`${mountPoint}/big`, 'r'),
    )
    for (let number = 2; number < 6; number += 1) {
      const before = on.daemon.answers.committed + on.daemon.answers.failed.length
      const { size } = on.daemon.streams
      await Promise.all([...on.daemon.streams].map((stream) => on.daemon.send(stream, number)))
      await until(
        () => on.daemon.answers.committed + on.daemon.answers.failed.length >= before + size,
        { what: 'all volumes to answer', timeoutMs: 60_000 },
      )
    }
    for (const fd of held) closeSync(fd)
    const { failed } = on.daemon.answers
    for (const end of failed) t.regex(end, /^Overloaded: .*limits\.tmpfsBytes/)
    t.log({
      served,
      refused: refused.length,
      failedChanges: failed.length,
      afterPublishesMib: afterPublishes >> 20,
      peakMib: on.cgroup.peakBytes >> 20,
      limitMib: limitBytes >> 20,
    })
    t.is(on.host.exitCode ?? on.host.signalCode, null)
    t.true(on.cgroup.peakBytes < limitBytes)

    // What is taken away makes room.
    await Promise.all(all.map((index) => on.caller.unpublish(index)))
    t.is(await on.publish(0), 'OK')
  },
)
