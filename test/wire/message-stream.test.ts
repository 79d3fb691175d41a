import { setImmediate as turn } from 'node:timers/promises'
import type { ServerDuplexStream } from '@grpc/grpc-js'
import test, { type ExecutionContext } from 'ava'
import { systemClock } from '../../src/core/clock.ts'
import { LatchkeyError } from '../../src/core/errors.ts'
import type { DaemonMessage } from '../../src/wire/gen/latchkey/mount/v1/DaemonMessage.ts'
import type { DaemonMessage__Output } from '../../src/wire/gen/latchkey/mount/v1/DaemonMessage.ts'
import type { ShimMessage } from '../../src/wire/gen/latchkey/mount/v1/ShimMessage.ts'
import type { ShimMessage__Output } from '../../src/wire/gen/latchkey/mount/v1/ShimMessage.ts'
import { MAX_MOUNT_MESSAGE_BYTES } from '../../src/wire/limits.ts'
import { MessageStream } from '../../src/wire/message-stream.ts'
import { createMountClient, type MountClient } from '../../src/wire/mount-client.ts'
import { loadMount } from '../../src/wire/protos.ts'
import { toServiceError } from '../../src/wire/status.ts'
import { UnixServer } from '../../src/wire/unix-server.ts'
import { tempDir } from '../support/temp-dir.ts'
import { until } from '../support/until.ts'

type DaemonEnd = MessageStream<ShimMessage__Output, DaemonMessage>
type ShimEnd = MessageStream<DaemonMessage__Output, ShimMessage>

interface World {
  readonly path: string
  readonly client: MountClient
  readonly server: UnixServer
  /** The daemon's ends of the calls, in their order. */
  readonly daemonEnds: DaemonEnd[]
  /** Opens a call and waits for it to arrive. */
  open(signal?: AbortSignal): Promise<{ shim: ShimEnd; daemon: DaemonEnd }>
}

async function world(t: ExecutionContext): Promise<World> {
  const path = `${tempDir(t)}/own/mount.sock`
  const daemonEnds: DaemonEnd[] = []
  const server = await listen(t, path, daemonEnds)
  const client = clientOf(t, path)
  return {
    path,
    client,
    server,
    daemonEnds,
    async open(signal = new AbortController().signal) {
      const index = daemonEnds.length
      const shim = client.mount(signal)
      // The first message makes grpc-js send the call off.
      await shim.send({ committed: { generation: 0 } })
      await until(() => daemonEnds[index] !== undefined, { what: 'the call to arrive' })
      const daemon = daemonEnds[index]
      if (daemon === undefined) throw new Error('gone again')
      return { shim, daemon }
    },
  }
}

async function listen(
  t: ExecutionContext,
  path: string,
  daemonEnds: DaemonEnd[],
): Promise<UnixServer> {
  const Mount = (call: ServerDuplexStream<ShimMessage__Output, DaemonMessage>): void => {
    daemonEnds.push(new MessageStream(call))
  }
  const server = await UnixServer.listen({
    path,
    services: [{ definition: loadMount().MountService.service, handlers: { Mount } }],
    maxMessageBytes: MAX_MOUNT_MESSAGE_BYTES,
    maxConnections: 16,
    ownsFolder: true,
    admits: () => true,
    clock: systemClock,
  })
  t.teardown(() => server.close(0))
  return server
}

function clientOf(t: ExecutionContext, path: string): MountClient {
  const client = createMountClient(path)
  t.teardown(() => {
    client.close()
  })
  return client
}

/** Everything that comes until the stream is over, and how it ended. */
async function drain<T>(
  stream: Pick<MessageStream<T, never>, 'receive'>,
): Promise<{ messages: T[]; error: LatchkeyError | undefined }> {
  const messages: T[] = []
  try {
    for await (const message of stream.receive()) messages.push(message)
    return { messages, error: undefined }
  } catch (thrown) {
    return { messages, error: LatchkeyError.from(thrown) }
  }
}

function closed({ closed: signal }: { readonly closed: AbortSignal }): Promise<LatchkeyError> {
  return new Promise((resolve) => {
    const settle = (): void => {
      resolve(LatchkeyError.from(signal.reason))
    }
    if (signal.aborted) settle()
    else signal.addEventListener('abort', settle)
  })
}

test('messages come in their order, both ways at once', async (t) => {
  const { shim, daemon } = await (await world(t)).open()
  const heard: (number | undefined)[] = []
  const hearing = (async () => {
    for await (const { committed } of daemon.receive()) heard.push(committed?.generation)
  })()
  const fromDaemon = drain(shim)
  const generations = Array.from({ length: 20 }, (_, n) => n)
  for (const generation of generations) {
    await daemon.send({ contents: { generation } })
    if (generation > 0) await shim.send({ committed: { generation } })
  }
  await shim.send({ unmounted: {} })
  await until(() => heard.length === 21, { what: 'the last message of the shim' })
  daemon.end()
  t.deepEqual(
    (await fromDaemon).messages.map(({ contents }) => contents?.generation),
    generations,
  )
  t.deepEqual(heard.slice(0, 20), generations)
  await hearing.catch(() => undefined)
})

test('a refusal that came before anybody read is not taken for a good end', async (t) => {
  const { shim, daemon } = await (await world(t)).open()
  daemon.fail(toServiceError(new LatchkeyError('AccessDenied', 'no')))
  t.is((await closed(shim)).reason, 'AccessDenied')
  t.is((await drain(shim)).error?.reason, 'AccessDenied')
})

test("the daemon's refusal reaches the shim in its words, after what was sent before it", async (t) => {
  const { shim, daemon } = await (await world(t)).open()
  const receiving = drain(shim)
  await daemon.send({ resumed: {} })
  daemon.fail(toServiceError(new LatchkeyError('TokenRejected', 'expired: 10 minutes ago')))
  const { messages, error } = await receiving
  t.is(messages.length, 1)
  t.is(error?.reason, 'TokenRejected')
  t.is(error?.message, 'expired: 10 minutes ago')
  t.is((await closed(shim)).reason, 'TokenRejected')
})

test('a shim that hangs up ends what the daemon reads, and its stream is closed', async (t) => {
  const { shim, daemon } = await (await world(t)).open()
  const receiving = drain(daemon)
  shim.end()
  t.is((await closed(daemon)).reason, 'DaemonUnavailable')
  t.is((await receiving).messages.length, 1)
})

test("an aborted signal hangs up as the shim's own word does", async (t) => {
  const hangUp = new AbortController()
  const { shim, daemon } = await (await world(t)).open(hangUp.signal)
  hangUp.abort()
  await closed(daemon)
  t.is((await drain(shim)).error?.reason, 'DaemonUnavailable')
})

test('a signal that was aborted before the call makes no call', async (t) => {
  const on = await world(t)
  const shim = on.client.mount(AbortSignal.abort())
  t.is((await drain(shim)).error?.reason, 'DaemonUnavailable')
  await on.open()
  t.is(on.daemonEnds.length, 1)
})

test("where nobody listens, the answer is DaemonUnavailable and not grpc-js's own text", async (t) => {
  const path = `${tempDir(t)}/mount.sock`
  const shim = clientOf(t, path).mount(new AbortController().signal)
  const sending = shim.send({ unmounted: {} }).then(
    () => 'sent',
    (thrown: unknown) => LatchkeyError.from(thrown).reason,
  )
  const { error } = await drain(shim)
  t.is(error?.reason, 'DaemonUnavailable')
  t.false(error?.message.includes(path))
  t.true(['sent', 'DaemonUnavailable'].includes(await sending))
  await t.throwsAsync(shim.send({ unmounted: {} }), { instanceOf: LatchkeyError })
})

test('a daemon that goes away closes every stream, once', async (t) => {
  const on = await world(t)
  const { shim } = await on.open()
  let closings = 0
  shim.closed.addEventListener('abort', () => {
    closings += 1
  })
  const receiving = drain(shim)
  await on.server.close(0)
  t.is((await receiving).error?.reason, 'DaemonUnavailable')
  await turn()
  t.is(closings, 1)
  const why = await t.throwsAsync(shim.send({ unmounted: {} }), { instanceOf: LatchkeyError })
  t.is(why.reason, 'DaemonUnavailable')
})

test('a client finds a daemon that came back by itself', async (t) => {
  const on = await world(t)
  await on.open()
  await on.server.close(0)
  const away = on.client.mount(new AbortController().signal)
  t.is((await drain(away)).error?.reason, 'DaemonUnavailable')
  const returned: DaemonEnd[] = []
  await listen(t, on.path, returned)
  // Each call fails at once until the channel has dialled again, which it does by its own backoff.
  await until(
    async () => {
      const shim = on.client.mount(new AbortController().signal)
      await shim.send({ unmounted: {} }).catch(() => undefined)
      return returned.length > 0
    },
    { what: 'the client to connect again', timeoutMs: 5_000 },
  )
  t.pass()
})

test('a message beyond the limit is PayloadTooLarge, and does not take the daemon along', async (t) => {
  const on = await world(t)
  const { shim } = await on.open()
  const receiving = drain(shim)
  const volumeId = 'x'.repeat(MAX_MOUNT_MESSAGE_BYTES)
  await shim.send({ resume: { volumeId } }).catch(() => undefined)
  t.is((await receiving).error?.reason, 'PayloadTooLarge')
  const next = await on.open()
  t.false(next.shim.closed.aborted)
})

test('a sender waits for a reader that is slow', async (t) => {
  const { shim, daemon } = await (await world(t)).open()
  const files = [{ path: 'a', data: Buffer.alloc(256 * 1024), mode: 0o600 }]
  const messages = 64
  let sent = 0
  const sending = (async () => {
    for (; sent < messages; sent += 1) await daemon.send({ contents: { generation: sent, files } })
    daemon.end()
  })()
  const reading = shim.receive()[Symbol.asyncIterator]()
  await reading.next()
  let before = -1
  // Nothing is read from here on: the sender comes to rest, and not because it is done.
  await until(
    async () => {
      if (sent === before) return true
      before = sent
      await new Promise((resolve) => setTimeout(resolve, 100))
      return false
    },
    { what: 'the sender to come to rest' },
  )
  t.true(sent < messages, `${sent} of ${messages} messages were taken without a reader`)
  let received = 1
  while ((await reading.next()).done !== true) received += 1
  t.is(received, messages)
  await sending
})

test('what has been sent may be wiped at once', async (t) => {
  const { shim, daemon } = await (await world(t)).open()
  const data = Buffer.from('hunter2')
  await daemon.send({ contents: { generation: 1, files: [{ path: 'a', data, mode: 0o600 }] } })
  data.fill(0)
  daemon.end()
  const { messages } = await drain(shim)
  t.is(messages[0]?.contents?.files[0]?.data.toString(), 'hunter2')
})
