import { posix } from 'node:path'
import { KUBERNETES_GRAMMAR, type Grammars } from '../../../src/daemon/sources/grammar.ts'
import type { Item } from '../../../src/daemon/sources/item.ts'
import { parseItems } from '../../../src/daemon/sources/parse-items.ts'
import { VAULT_GRAMMAR } from '../../../src/daemon/sources/vault/grammar.ts'
import type { Lane, Verdict } from '../lane.ts'

const GRAMMARS: Grammars = new Map([
  ['kubernetes', KUBERNETES_GRAMMAR],
  ['vault-prod', VAULT_GRAMMAR],
])
const WORDS = [
  ...['secret', 'items', 'from', 'key', 'path', 'dir', 'mode', 'version', 'role', 'args', 'format'],
  ...['refresh', 'onOutage', 'maxAge', 'optional', 'serve-last', 'json', 'namespace', 'bundle'],
  ...['kubernetes', 'vault-prod', 'sys/', 'auth/', '"0777"', '04755', '1h', '0s', '99999999h'],
  ...[
    '- { secret: a }\n',
    ', key: k',
    '{',
    '}',
    '[',
    ']',
    '*a',
    '&a ',
    '!!binary ',
    '<<: *a',
    '? ',
  ],
]

/** A pair a line, as they come in a volume's attributes. */
const PAIRS = [
  'secret=db',
  'secret=db\nrefresh=10m',
  'secret=db\nonOutage=serve-last\nmaxAge=1h',
  'secret=db\nitems=- { secret: db }',
  'items=- { secret: db, key: password, path: a/b }',
]
const LISTS = [
  '- { secret: db, key: password, path: db/password, mode: "0400" }\n',
  '- { from: vault-prod, secret: secret/shop/api, key: token, path: api-token, role: api }\n',
  '- secret: db\n  dir: all\n  optional: true\n- secret: other\n  key: a\n',
  '[{secret: db, key: "a", path: x, refresh: 5m, onOutage: serve-last, maxAge: 1h}]',
  '- { from: vault-prod, secret: pki/issue/web, format: json, path: c, args: { ttl: 1h, n: 1 } }\n',
  '- { from: vault-prod, secret: kv/a, version: 3, dir: d }\n',
]

export const attributesLane: Lane = {
  name: 'attributes',
  weight: 8,
  seeds: PAIRS.map((text) => Buffer.from(text)),
  words: WORDS,
  feed(input) {
    const pairs = input
      .toString()
      .split('\n')
      .map((line) => line.split(/=(.*)/s, 2))
    return holds(parseItems(new Map(pairs.map(([key = '', value = '']) => [key, value])), GRAMMARS))
  },
}

export const itemsLane: Lane = {
  name: 'items',
  weight: 14,
  seeds: LISTS.map((text) => Buffer.from(text)),
  words: WORDS,
  feed: (input) => holds(parseItems(new Map([['items', input.toString()]]), GRAMMARS)),
}

/** No item may reach out of its volume, its source or its Secret's namespace, or set a bit that is no permission. */
function holds(items: readonly Item[]): Verdict {
  for (const { from, secret, path, dir, mode } of items) {
    if (!GRAMMARS.has(from)) return { grant: 'a source that nobody declared' }
    const places = [path, dir].filter((place) => place !== undefined)
    if (!places.every(staysInside)) return { grant: 'a path that leaves the volume' }
    if (mode < 0 || mode > 0o777) return { grant: 'a mode beyond permissions' }
    if (from === 'kubernetes' && /[^a-z0-9.-]/.test(secret)) return { grant: 'a name of no Secret' }
    if (/(^|\/)\.{0,2}(\/|$)|^(sys|auth)\/|[?#\0]/.test(secret))
      return { grant: 'a path of the house' }
  }
  return items.length > 0 ? 'accepted' : { grant: 'no item, and no refusal' }
}

/** Written apart from the check under test: the path is below /v, and the same as it was given. */
export function staysInside(path: string): boolean {
  const whole = posix.resolve('/v', path)
  return (
    whole === `/v/${path}` &&
    !path.includes('\0') &&
    !path.split('/').some((part) => part.startsWith('..'))
  )
}
