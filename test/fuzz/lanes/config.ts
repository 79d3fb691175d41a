import { MAX_FILE_BYTES } from '../../../src/config/load.ts'
import { parseConfig } from '../../../src/config/parse.ts'
import type { Lane } from '../lane.ts'

const SEEDS = [
  'driver: csi.latchkey.dev\naudience: latchkey\nnode: node-1\n',
  'kubelet: { root: /var/lib/kubelet }\nsockets:\n  mount: /run/latchkey/mount.sock\n',
  'limits:\n  namespaceBytes: 16Mi\n  nodeBytes: 48Mi\n  concurrentPublishes: 32\n  connections: 256\n',
  'volumes: { maxBytes: 4Mi, allowSwap: false, endedGrace: 60s, oldGenerationLinger: 2s }\n',
  'sources:\n  - name: vault-prod\n    kind: vault\n    address: https://vault.example:8200\n' +
    '    auth: { method: kubernetes, mount: kubernetes, role: api, audience: vault }\n' +
    '    limits: { concurrent: 8, perSecond: 20, timeout: 10s, maxBytes: 1Mi }\n',
  'refresh: { interval: 60s }\nevents: { enabled: true, staleAfter: 5m }\nhttp: { address: 0.0.0.0, port: 9808 }\n',
  'log:\n  level: info\nkubernetes:\n  kubeconfig: /etc/k\n  timeout: 10s\n',
]

export const configLane: Lane = {
  name: 'config',
  weight: 8,
  seeds: SEEDS.map((text) => Buffer.from(text)),
  words: [
    'sources:',
    'limits:',
    'name:',
    'kind: vault',
    'Mi',
    'Ki',
    '10s',
    '1h',
    '*a',
    '&a ',
    '!!set ',
    '<<: ',
  ],
  feed(input) {
    if (input.length > MAX_FILE_BYTES) return 'refused'
    const { words, problems } = parseConfig(input.toString())
    if (words === undefined)
      return problems.length > 0 ? 'refused' : { grant: 'neither good nor bad' }
    const audiences = words.sources.map(({ auth }) => auth.audience)
    if (audiences.includes(words.audience)) return { grant: 'the proof of a pod goes to a source' }
    return 'accepted'
  },
}
