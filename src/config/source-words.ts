import * as z from 'zod'
import {
  absolutePath,
  audience,
  authMount,
  bytes,
  domainName,
  duration,
  oneOf,
  sourceName,
  vaultAddress,
  wholeNumber,
  word,
} from './kinds.ts'

/** How pods log in, by the name that Vault gives such an auth method. */
export const AUTH_METHODS = ['kubernetes', 'jwt'] as const

const auth = words({
  method: oneOf(AUTH_METHODS).describe(
    'How Vault proves a pod: `kubernetes` asks the API server by TokenReview, `jwt` checks the signature by itself.',
  ),
  mount: authMount()
    .describe('Where that auth method is mounted, without `auth/`.')
    .meta({ otherwise: "the method's name" })
    .optional(),
  role: word()
    .describe('The role that pods log in with. Left out, each item names one in `role`.')
    .optional(),
  audience: audience()
    .describe(
      "Audience of the pod's token that logs in. `spec.tokenRequests` of the CSIDriver must ask for it; best one of its own for each Vault.",
    )
    .prefault('vault'),
})

const limits = words({
  concurrent: wholeNumber(1, 256)
    .describe('Calls of this node that are under way at the same time.')
    .prefault(16),
  perSecond: wholeNumber(1, 10_000)
    .describe('Calls of this node that begin within a second.')
    .prefault(50),
  timeout: duration('1s', '30s')
    .describe(
      'For one call, its wait for a turn included. A first look at a secret is up to three calls.',
    )
    .prefault('10s'),
  maxBytes: bytes('4KiB', '4MiB')
    .describe('Of one answer. Larger ones are refused as PayloadTooLarge.')
    .prefault('1MiB'),
})

/** A HashiCorp Vault or an OpenBao. */
const vault = words({
  kind: z
    .literal('vault')
    .describe('A HashiCorp Vault or an OpenBao.')
    .meta({ kind: 'the word vault' }),
  name: sourceName().describe('What items say in `from`.'),
  address: vaultAddress().describe('Where it answers; a path in front of its own `/v1` is kept.'),
  caFile: absolutePath()
    .describe(
      "PEM file of the authorities that its certificate is believed from; a file that takes its place counts for new connections, within seconds. Left out, the public ones are believed that Node.js comes with; the node's own are not.",
    )
    .optional(),
  serverName: domainName()
    .describe("The name in its certificate, where that is not the address's.")
    .optional(),
  namespace: word()
    .describe('Namespace of a Vault Enterprise or an OpenBao, in which pods log in and read.')
    .optional(),
  auth: auth.describe('How pods log in.').prefault({} as z.input<typeof auth>),
  limits: limits.describe('What this node may ask of it.').prefault({} as z.input<typeof limits>),
})

/** One entry of `sources`. Which words it takes is said by `kind`. */
export const source = z.discriminatedUnion('kind', [vault], {
  error: ({ input }) =>
    typeof input === 'object' ? 'expected one of vault' : expectedMap(vault.shape),
})

/** Words of a source that hold words of their own. */
export const SOURCE_SECTIONS: readonly string[] = ['auth', 'limits']

export type SourceWords = z.output<typeof source>

function words<T extends z.ZodRawShape>(shape: T): z.ZodObject<T, z.core.$strict> {
  return z.strictObject(shape, expectedMap(shape))
}

function expectedMap(shape: z.ZodRawShape): string {
  return `expected a map with any of ${Object.keys(shape).join(', ')}`
}
