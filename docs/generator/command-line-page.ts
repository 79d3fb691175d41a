import { COMMANDS, type Command } from '../../src/cli/commands.ts'
import { signatureOf } from '../../src/cli/help.ts'
import { EXIT } from '../../src/cli/output.ts'
import { STATE_WORDS, type VolumeView } from '../../src/cli/volume-view.ts'
import { code, table } from './table.ts'

/** docs/reference/command-line.md. */
export function commandLinePage(): readonly string[] {
  return [
    '# Command line',
    '',
    'In this repository `npm run latchkey -- COMMAND`, of the image its arguments: `docker run IMAGE COMMAND`.',
    'On a node: `kubectl -n latchkey-system exec ds/latchkey -c host -- latchkey COMMAND`. Which node that is, kubectl',
    'chooses; name the pod instead of `ds/latchkey` for another one.',
    '',
    ...table(
      ['command', 'what it does'],
      COMMANDS.map((command) => [code(signatureOf(command)), command.summary]),
    ),
    '',
    ...table(['flag', 'of', 'what it takes'], flagRows(COMMANDS)),
    '',
    ...jsonForms(),
    '`--help` lists the commands, `COMMAND --help` what one takes, `--version` the version.',
    '',
    'Mistakes go to standard error as `latchkey: error: ...`, with `latchkey: hint: ...` where there is a way out.',
    `Exit codes: ${EXIT.ok} for success, ${EXIT.failure} for failure, ${EXIT.usage} for a wrong command line.`,
  ]
}

/** One row for a flag that several commands share. */
function flagRows(commands: readonly Command[]): readonly (readonly string[])[] {
  const rows = new Map<string, { readonly cells: readonly string[]; readonly of: string[] }>()
  for (const { name: command, flags } of commands) {
    for (const { name, placeholder, summary } of flags) {
      const flag = code(`--${name} ${placeholder}`)
      const row = rows.get(flag + summary) ?? { cells: [flag, summary], of: [] }
      row.of.push(command)
      rows.set(flag + summary, row)
    }
  }
  return [...rows.values()].map(({ cells: [flag = '', summary = ''], of }) => [
    flag,
    of.join(', '),
    summary,
  ])
}

/** Fields are only ever added to these. */
function jsonForms(): readonly string[] {
  return [
    '## JSON',
    '',
    'What `--output json` prints stays as it is from one version to the next; fields may be added. Every field is',
    'always there, and null where it is not known or does not apply. Times are RFC 3339 in UTC.',
    '',
    '`latchkey list`:',
    '',
    '```json',
    JSON.stringify({ volumes: [EXAMPLE_VOLUME] }, null, 2),
    '```',
    '',
    `\`state\` is one of ${STATE_WORDS.map(code).join(', ')}. Of a`,
    '`watched` volume changes come by themselves, and it has no next look. Of a volume that kubelet has not brought tokens for since both sides restarted,',
    'only the `uid` of its pod is known.',
    '',
    '`latchkey doctor`:',
    '',
    '```json',
    JSON.stringify(EXAMPLE_CHECKUP, null, 2),
    '```',
    '',
    '`grade` is one of `ok`, `warning`, `failed`, `skipped`, and `foundBy` one of `node`, `daemon`.',
    '',
    '## Conventions',
    '',
  ]
}

const EXAMPLE_VOLUME: VolumeView = {
  namespace: 'shop',
  pod: 'api-0',
  uid: '3f2b6a6e-5b1d-4c7e-9a51-0d9c5e2f7a10',
  serviceAccount: 'api',
  volume: 'db',
  volumeId: 'csi-9c1f...',
  targetPath: '/var/lib/kubelet/pods/3f2b6a6e-.../volumes/kubernetes.io~csi/db/mount',
  state: 'stale',
  generation: 3,
  changedAt: '2026-11-21T09:00:00.005Z',
  checkedAt: '2026-11-21T09:41:12.730Z',
  nextLookAt: '2026-11-21T09:43:12.730Z',
  watched: false,
  reason: 'SecretNotFound',
  message: 'Secret "db" does not exist in namespace "shop"',
}

const EXAMPLE_CHECKUP = {
  version: '0.1.0',
  daemonVersion: '0.1.0',
  checks: [
    {
      check: 'clocks agree',
      foundBy: 'daemon',
      grade: 'warning',
      detail: 'this node is 20s ahead of the API server',
      fix: 'have both follow the same time (NTP): tokens end by the clock',
    },
  ],
}
