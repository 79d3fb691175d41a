import { createSign, generateKeyPairSync, type KeyObject, createPrivateKey } from 'node:crypto'

import type { ClusterDescription, ClusterNode } from '../cluster/cluster.ts'
import { DESCRIPTION_VARIABLE } from '../cluster/cluster.ts'
import { cluster } from './support.ts'

const LIFE_S = 600

/** What a token is bound to: it ends with that. */
export interface Bound {
  readonly apiVersion: 'v1'
  readonly kind: 'Pod' | 'Secret' | 'Node'
  readonly name: string
  readonly uid: string
}

/** Has the API server make one, as kubelet has; audience "" is its own. */
export async function requestToken(
  namespace: string,
  serviceAccount: string,
  bound: Bound | undefined,
  audience = 'latchkey',
): Promise<string> {
  const boundObjectRef = bound === undefined ? {} : { boundObjectRef: bound }
  const order = {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: {
      audiences: audience === '' ? [] : [audience],
      expirationSeconds: LIFE_S,
      ...boundObjectRef,
    },
  }
  const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${serviceAccount}/token`
  const input = JSON.stringify(order)
  const { stdout } = await cluster.kubectl(['create', '--raw', path, '-f', '-'], { input })
  return (JSON.parse(stdout.toString()) as { status: { token: string } }).status.token
}

type Claims = Readonly<Record<string, unknown>>

/** A token with other words in it, and the signature that it had. */
export function reworded(token: string, change: (claims: Claims) => Claims): string {
  const { header, claims, signature } = partsOf(token)
  return `${header}.${encode(change(claims))}.${signature}`
}

/** The same, signed once more. */
export function resigned(
  token: string,
  key: KeyObject,
  change: (claims: Claims) => Claims = (claims) => claims,
): string {
  const { header, claims } = partsOf(token)
  const body = `${header}.${encode(change(claims))}`
  return `${body}.${createSign('RSA-SHA256').update(body).sign(key, 'base64url')}`
}

/** One that says of itself that nobody has signed it. */
export function unsigned(token: string): string {
  return `${encode({ alg: 'none', typ: 'JWT' })}.${token.split('.')[1] ?? ''}.`
}

/** One whose signature has another bit. */
export function scratched(token: string): string {
  const { header, payload, signature } = partsOf(token)
  const bytes = Buffer.from(signature, 'base64url')
  bytes.writeUInt8(bytes.readUInt8(40) ^ 1, 40)
  return `${header}.${payload}.${bytes.toString('base64url')}`
}

/** Good at another time: the API server makes none that ends before 600 s, or begins later. */
export function between(fromS: number, untilS: number): (claims: Claims) => Claims {
  const now = Math.floor(Date.now() / 1000)
  const times = { iat: now + fromS, nbf: now + fromS, exp: now + untilS }
  return (claims) => ({ ...claims, ...times })
}

/** The key that this cluster's API server signs with, which only whoever has made the cluster has. */
export async function signingKey(node: ClusterNode): Promise<KeyObject> {
  const description = JSON.parse(process.env[DESCRIPTION_VARIABLE] ?? '{}') as ClusterDescription
  const flag = '--service-account-signing-key-file='
  const command = description.kind === 'rig' ? description.services['kube-apiserver'] : []
  const path = command.find((word) => word.startsWith(flag))?.slice(flag.length) ?? ''
  return createPrivateKey((await node.run(['cat', path])).stdout)
}

export function foreignKey(): KeyObject {
  return generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
}

function partsOf(token: string) {
  const [header = '', payload = '', signature = ''] = token.split('.')
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as Claims
  return { header, payload, signature, claims }
}

function encode(words: object): string {
  return Buffer.from(JSON.stringify(words)).toString('base64url')
}
