import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect, createServer } from 'node:tls'
import type { TLSSocket } from 'node:tls'
import test from 'ava'
import { createAuthority } from '../../src/minicluster/pki.ts'

test('the authority is one by its own word, and good for signing only', async (t) => {
  const authority = await createAuthority('some-ca')
  const certificate = new X509Certificate(authority.certPem)
  t.true(certificate.ca)
  t.is(certificate.subject, 'CN=some-ca')
  t.true(certificate.verify(certificate.publicKey))
  t.true(Date.parse(certificate.validTo) > Date.now() + 365 * 86_400_000)
})

test('a server certificate stands for its names and addresses, and for no other', async (t) => {
  const authority = await createAuthority('some-ca')
  const issued = await authority.issueServer(['localhost', '127.0.0.1'])
  const certificate = new X509Certificate(issued.certPem)
  t.true(certificate.verify(new X509Certificate(authority.certPem).publicKey))
  t.false(certificate.ca)
  t.is(certificate.checkHost('localhost'), 'localhost')
  t.is(certificate.checkIP('127.0.0.1'), '127.0.0.1')
  t.is(certificate.checkHost('example.org'), undefined)
})

test('both sides of TLS accept what the authority issued', async (t) => {
  const authority = await createAuthority('some-ca')
  const [server, client] = await Promise.all([
    authority.issueServer(['localhost']),
    authority.issueClient('system:masters'),
  ])
  const ca = authority.certPem
  const identity = { cert: server.certPem, key: server.keyPem }
  const listener = createServer({ ...identity, ca, requestCert: true, rejectUnauthorized: true })
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  t.teardown(() => listener.close())
  const { port } = listener.address() as AddressInfo
  const accepted = once(listener, 'secureConnection') as Promise<[TLSSocket]>
  const credentials = { cert: client.certPem, key: client.keyPem }
  const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', ca, ...credentials })
  t.teardown(() => socket.destroy())
  await once(socket, 'secureConnect')
  const [peer] = await accepted
  t.true(peer.authorized)
  t.is(peer.getPeerCertificate().subject.CN, 'system:masters')
  peer.destroy()
})
