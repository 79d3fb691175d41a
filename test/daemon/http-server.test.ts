import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import test, { type ExecutionContext } from 'ava'
import { LatchkeyError } from '../../src/core/errors.ts'
import { judge } from '../../src/daemon/health.ts'
import { listenForProbes, type HttpOptions, type HttpServer } from '../../src/daemon/http-server.ts'

interface Answer {
  readonly status: number | undefined
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

function good(): ReturnType<typeof judge> {
  return judge({ one: () => undefined })
}

function bad(): ReturnType<typeof judge> {
  return judge({ one: () => undefined, two: () => 'out of order' })
}

async function serve(t: ExecutionContext, changes: Partial<HttpOptions> = {}): Promise<HttpServer> {
  const server = await listenForProbes({
    address: '127.0.0.1',
    port: 0,
    live: good,
    host: good,
    ready: good,
    metricsText: () => Promise.resolve('a 1\n'),
    ...changes,
  })
  t.teardown(() => server.close())
  return server
}

async function ask({ port }: HttpServer, path: string, method = 'GET'): Promise<Answer> {
  const request = httpRequest({ host: '127.0.0.1', port, path, method, agent: false })
  request.end()
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  return { status: response.statusCode, headers: response.headers, body: await text(response) }
}

test('/metrics is the page in the format that Prometheus asks for', async (t) => {
  const { status, headers, body } = await ask(await serve(t), '/metrics')
  t.deepEqual([status, body], [200, 'a 1\n'])
  t.is(headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8')
})

for (const [path, name] of [
  ['/healthz', 'live'],
  ['/healthz/host', 'host'],
  ['/readyz', 'ready'],
] as const) {
  test(`${path} answers for the ${name} checks and for no others`, async (t) => {
    const fine = await serve(t, { live: bad, host: bad, ready: bad, [name]: good })
    t.deepEqual(await ask(fine, path).then(({ status, body }) => [status, body]), [200, 'ok\n'])
    const broken = await serve(t, { [name]: bad })
    const { status, body } = await ask(broken, path)
    t.is(status, 503)
    t.is(body, `[+]one ok\n[-]two failed: out of order\n${path.slice(1)} check failed\n`)
  })
}

test('?verbose tells every check also where all are well', async (t) => {
  const { status, body } = await ask(await serve(t), '/readyz?verbose')
  t.deepEqual([status, body], [200, '[+]one ok\nreadyz check passed\n'])
  t.is((await ask(await serve(t), '/readyz?verbose=1&x=y')).body, body)
})

test('HEAD is answered like GET, without the body', async (t) => {
  const server = await serve(t, { ready: bad })
  const head = await ask(server, '/readyz', 'HEAD')
  const get = await ask(server, '/readyz')
  t.is(head.body, '')
  t.is(head.status, get.status)
  t.is(head.headers['content-length'], String(Buffer.byteLength(get.body)))
})

for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE']) {
  test(`${method} is refused`, async (t) => {
    const { status, headers } = await ask(await serve(t), '/metrics', method)
    t.deepEqual([status, headers.allow], [405, 'GET, HEAD'])
  })
}

for (const path of [
  '/',
  '/metrics/',
  '/readyz/host',
  '/../metrics2',
  '/favicon.ico',
  '//',
  '/healthz%2Fhost',
]) {
  test(`${path} is not there`, async (t) => {
    t.is((await ask(await serve(t), path)).status, 404)
  })
}

test('a page that cannot be made is a 500 that says nothing of the cause', async (t) => {
  const errors: LatchkeyError[] = []
  const server = await serve(t, {
    metricsText: () => Promise.reject(new Error('hunter2')),
    onError: (error) => errors.push(error),
  })
  const { status, body } = await ask(server, '/metrics')
  t.is(status, 500)
  t.false(body.includes('hunter2'))
  t.deepEqual(
    errors.map(({ reason }) => reason),
    ['Internal'],
  )
  t.is((await ask(server, '/healthz')).status, 200)
})

test('a caller that never ends its request is hung up on', async (t) => {
  const server = await serve(t, { timeoutMs: 50 })
  const socket = connect(server.port, '127.0.0.1')
  socket.write('GET /healthz HTTP/1.1\r\nhost: a\r\n')
  socket.resume()
  await once(socket, 'close')
  t.pass()
})

test('headers beyond measure are refused', async (t) => {
  const server = await serve(t)
  const socket = connect(server.port, '127.0.0.1')
  socket.write(`GET /healthz HTTP/1.1\r\nhost: a\r\nx: ${'x'.repeat(10_000)}\r\n\r\n`)
  t.regex(await text(socket), /^HTTP\/1\.1 431 /)
})

test('a port that is taken is refused by the words of the configuration', async (t) => {
  const { port } = await serve(t)
  const error = await t.throwsAsync(serve(t, { port }), { instanceOf: LatchkeyError })
  t.is(error.reason, 'InvalidRequest')
  t.is(
    error.message,
    `http.address, http.port: cannot listen on 127.0.0.1 port ${port} (EADDRINUSE)`,
  )
})

test('close hangs up on those who keep their connection', async (t) => {
  const server = await serve(t)
  const socket = connect(server.port, '127.0.0.1')
  socket.write('GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n')
  await once(socket, 'data')
  await server.close()
  if (!socket.closed) await once(socket, 'close')
  await t.throwsAsync(ask(server, '/healthz'), { code: 'ECONNREFUSED' })
})
